"""`isocline reproduce` and `isocline bench` hand over to the experiments, and show the answer."""

from __future__ import annotations

import sys
import types

import pytest


@pytest.fixture
def experiments(monkeypatch):
    """Experiments that say what they were asked."""
    module = types.ModuleType("isocline.experiments")
    module.asked = []

    def names(kind):
        return {"spirals": "Latent ODE on spirals"} if kind == "reproduce" else {}

    def run(name, *, out, quick, progress, seeds=None, seed=None, resume=True):
        module.asked.append((name, out, quick, seeds, seed, resume))
        progress({"stage": name, "epoch": 1, "epochs": 1, "loss": 0.5, "seconds": 0.1})
        progress("halfway")
        return {"rows": [{"model": "RNN", "rmse": 0.39371}], "paper": {"rnn": 0.3937}, "left": None}

    module.names, module.run = names, run
    monkeypatch.setitem(sys.modules, "isocline.experiments", module)
    return module


def test_experiments_are_listed(isocline, experiments):
    for arguments in ([], ["--list"], ["spirals", "--list"]):
        assert "spirals  Latent ODE on spirals" in isocline("reproduce", *arguments).out
    assert isocline("reproduce", "--json").document == {"reproduce": experiments.names("reproduce")}
    assert "none yet" in isocline("bench").out
    assert experiments.asked == []


def test_an_experiment_runs_with_its_options(isocline, experiments, tmp_path):
    options = ["--quick", "--seeds", "3", "--seed", "1", "--no-resume", "--out", tmp_path]
    ended = isocline("reproduce", "spirals", *options)
    assert ended.code == 0
    assert experiments.asked == [("spirals", tmp_path, True, 3, 1, False)]
    assert "0.3937" in ended.out
    assert "halfway" in ended.err
    document = isocline("reproduce", "spirals", "--json", "--quiet").document
    assert document["rows"] == [{"model": "RNN", "rmse": 0.39371}]


def test_an_unknown_experiment_is_refused(isocline, experiments):
    ended = isocline("reproduce", "spiral")
    assert ended.code == 2
    assert "Did you mean 'spirals'?" in ended.err
    assert isocline("bench", "nothing").code == 2
    assert isocline("reproduce", "spirals", "--seeds", "0").code == 2
    assert "at least 0" in isocline("reproduce", "spirals", "--seed", "-1").err
