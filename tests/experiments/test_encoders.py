"""Encoders on many sets: where each number stands, and runs that are not done twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from isocline.data.real_series import load_series, simulated_series
from isocline.estimators import LatentODEForecaster
from isocline.experiments import (
    encoders,
    encoders_table,
    fitting,
    horizons,
    spirals_cases,
    spirals_run,
)
from isocline.experiments.spirals_cases import KINDS, Case

ROOT = Path(__file__).parents[2]
SMALL = {"epochs": 1, "members": 1, "hidden_size": 4, "latent_size": 2, "batch_size": 8}
SPIRALS = replace(
    spirals_cases.QUICK, curves=20, epochs=1, steps=1, batch=4, hidden_size=4, latent_size=2
)
BASELINES = ("persistence", "seasonal_naive", "climatology", "gru")


def fitted(seed, rmse, *, baselines):
    """A run as `fit_and_score` gives it, all of its numbers told by one."""
    scores = {"rmse": rmse, "crps": rmse / 2, "coverage_50": 0.5, "coverage_90": 0.9}
    beside = {name: scores | {"rmse": 10 + place} for place, name in enumerate(BASELINES)}
    return {
        "seed": seed,
        "scores": scores,
        "baselines": beside if baselines else {},
        "deletion": {"increase": 0.1},
        "validation": 0.3,
        "seconds": 60.0 + seed,
    }


def test_each_number_is_in_its_cell():
    runs = {
        ("rnn", "nino"): [fitted(0, 1.0, baselines=True), fitted(1, 2.0, baselines=True)],
        ("cde", "nino"): [fitted(0, 5.0, baselines=False)],
        ("cde, averaged weights", "nino"): [fitted(0, 4.0, baselines=False)],
        ("rnn", "spirals"): [{"seed": 0, "rmse": 0.1, "seconds": 9.0}],
        ("persistence", "spirals"): [{"seed": 0, "rmse": 2.0}],
    }
    titles = {"nino": "Niño", "vowels": "vowels", "spirals": "spirals"}
    summary, text = encoders_table.tables(
        runs, titles, ("rnn", "cde", "mtan"), ("cde", ["averaged weights", "growing horizon"])
    )
    errors, crps, seconds, helps = (part.splitlines() for part in text.split("\n\n"))
    # A set that nothing was run on has no column, an encoder that was not run no row.
    assert errors[0] == "| RMSE | Niño | spirals |"
    assert errors[2:5] == [
        "| rnn | 1.500 ± 0.500 | 0.100 |",
        "| cde | 5.000 |  |",
        "| persistence | 10.000 ± 0.000 | 2.000 |",
    ]
    assert len(errors) == 2 + 2 + len(BASELINES)
    assert crps[2] == "| rnn | 0.750 ± 0.250 |  |"
    assert seconds[2:] == ["| rnn | 60 | 9 |", "| cde | 60 |  |"]
    assert [line.split(" | ")[0] for line in helps[2:]] == ["| cde", "| cde, averaged weights"]
    assert helps[0].startswith("| Niño | RMSE |") and "| 10.0000 | 0.3000 |" in helps[2]
    assert summary[0] == {"model": "rnn", "nino": "1.500 ± 0.500", "spirals": "0.100"}


def test_every_encoder_has_a_row_of_the_spirals():
    for encoder, kind in encoders.ENCODERS.items():
        assert KINDS[kind].encoder == encoder
    assert set(encoders.Protocol().data) <= set(encoders.SETS)


@pytest.mark.slow
def test_a_set_that_is_not_there_is_left_out_and_nothing_is_done_twice(tmp_path, monkeypatch):
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    monkeypatch.setattr(fitting, "REPEATS", 1)
    small = simulated_series(2, 60, 2, days=300)
    monkeypatch.setattr(
        encoders, "load_series", lambda name: small if name == "sst" else load_series(name)
    )
    protocol = encoders.Protocol(
        data=("sst", "vowels"),
        seeds=1,
        encoders=("rnn",),
        helps={},
        settings=SMALL,
        spirals=SPIRALS,
    )
    # One of the two runs on spirals is the other experiment's.
    case = Case("gru", 0.1, 30)
    done = spirals_run.run_case(tmp_path / "spirals", SPIRALS, case, 0, None)
    result = encoders.run(tmp_path / "encoders", protocol=protocol)
    rows = {row["model"]: row for row in result["summary"]}
    assert list(rows) == ["rnn", *BASELINES] and "vowels" not in rows["rnn"]
    assert float(rows["gru"]["spirals"]) == pytest.approx(done["rmse"], abs=1e-3)
    assert float(rows["persistence"]["spirals"]) > 0 and float(rows["climatology"]["sst"]) > 0
    assert "Left out" in result["note"] and "JapaneseVowels" in result["note"]
    assert not (tmp_path / "encoders" / "runs" / "gru-0.1-30-0.json").exists()
    written = json.loads((tmp_path / "encoders" / "results.json").read_text())
    assert {(one["row"], one["data"]) for one in written["runs"]} >= {("rnn", "sst")}
    monkeypatch.setattr(encoders, "standardized", lambda *_: pytest.fail("fitted again"))
    monkeypatch.setattr(spirals_run, "train", lambda *_, **__: pytest.fail("trained again"))
    assert encoders.run(tmp_path / "encoders", protocol=protocol)["summary"] == result["summary"]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [encoders, horizons])
def test_the_committed_table_is_made_of_committed_runs(experiment, tmp_path, monkeypatch):
    """None of them is run again: they are told by settings that they still have."""
    name = experiment.__name__.rpartition(".")[2]
    for folder in (name, "spirals"):
        shutil.copytree(ROOT / "results" / folder, tmp_path / folder)
    monkeypatch.setattr(LatentODEForecaster, "fit", lambda *_, **__: pytest.fail("fitted again"))
    experiment.run(tmp_path / name, seeds=range(2))
    made, kept = ((at / name / "table.md").read_text() for at in (tmp_path, ROOT / "results"))
    assert made == kept
