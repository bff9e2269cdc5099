"""The experiments on images: a tiny one from end to end, and what its table says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from isocline.errors import InputError
from isocline.experiments import names, odenets
from isocline.experiments.odenets import MAIN, Protocol, wilson

TINY = {"channels": 4, "epochs": 2, "batch_size": 256}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    out = tmp_path_factory.mktemp("images")
    models = {"resnet-1": {"network": "resnet", "blocks": 1}, MAIN: {}}
    protocol = Protocol("digits", "digits", models=models, settings=TINY)
    told = []
    found = odenets.run(protocol, out, quick=True, progress=told.append)
    return out, protocol, found, told


def test_an_experiment_leaves_numbers_figures_and_a_model(ran):
    out, _, found, told = ran
    results = json.loads((out / "results.json").read_text())
    assert results["command"] == "isocline reproduce digits --seeds 1 --quick"
    assert [row["model"] for row in results["summary"]] == ["resnet-1", MAIN]
    run = results["runs"][1]
    assert run["tested"] == 360 and 0 <= run["wrong"] <= 360 and run["nfe"] > 0
    assert len(run["history"]) == 2 and run["history"][0]["seconds"] > 0
    tolerances = results["tolerances"]
    assert [row["tolerance"] for row in tolerances] == sorted(
        (row["tolerance"] for row in tolerances), reverse=True
    )
    assert len(tolerances) == 8 and tolerances[-1]["numerical_error"] < 1e-6
    for file in ("table.md", "tolerances.png", "tolerances.svg", "training.png"):
        assert (out / file).stat().st_size > 100
    assert (out / "models" / "ode-net-0" / "config.json").is_file()
    assert not list((out / "checkpoints").iterdir())
    assert len(told) == 4 and found["out"] == str(out)


def test_what_is_done_is_not_done_again(ran):
    out, protocol, _, _ = ran
    told, (name, changed) = [], next(iter(protocol.models.items()))
    odenets.run(replace(protocol, models={name: changed}), out, quick=True, progress=told.append)
    assert not told


def test_the_interval_is_wilsons():
    low, high = wilson(42, 10_000)
    assert low == pytest.approx(0.0031, abs=1e-4) and high == pytest.approx(0.0057, abs=1e-4)


def test_they_are_listed():
    assert {"mnist", "fashion", "digits"} <= set(names("reproduce"))


def test_a_set_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCLINE_DATA", str(tmp_path))
    with pytest.raises(InputError, match="There is no image set"):
        odenets.run(Protocol("x", "mnits", models={MAIN: {}}, settings=TINY), tmp_path)
