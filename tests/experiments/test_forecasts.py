"""Forecasts of real series: model and baselines have their rows, from runs that are kept."""

from __future__ import annotations

import pytest

from isocline.experiments import fitting, forecasts

TINY = {"epochs": 1, "members": 1, "hidden_size": 4, "latent_size": 2, "batch_size": 8}
BASELINES = ["persistence", "seasonal_naive", "climatology", "linear", "gru"]


@pytest.mark.slow
def test_the_experiment_leaves_a_table_and_does_nothing_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "REPEATS", 1)
    protocol = forecasts.Protocol(data=("sst",), seeds=1, settings=TINY)
    result = forecasts.run(tmp_path, protocol=protocol)
    assert [row["model"] for row in result["summary"]] == ["latent ODE, pooled", *BASELINES]
    assert (tmp_path / "forecast.png").stat().st_size > 10_000
    row = result["summary"][0]
    assert 0 < row["rmse"] < 10 and 0 <= row["coverage_90"] <= 1 and row["seconds"] >= 0
    monkeypatch.setattr(fitting.builtin, "load", lambda *_: pytest.fail("fitted again"))
    assert forecasts.run(tmp_path, protocol=protocol)["summary"] == result["summary"]
