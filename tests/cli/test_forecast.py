"""From a file to results, and from a saved model to forecasts, scores and descriptions."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tomllib
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import polars
import pytest

from .conftest import HEADER, TINY, small_rows, write_rows

SCORES = {"rmse", "mae", "crps", "coverage_50", "coverage_90"}
QUANTILES = ["q05", "q25", "q50", "q75", "q95"]


def test_results_have_the_promised_form(fitted):
    names = {entry.name for entry in fitted.iterdir()}
    assert names == {
        *("forecast.csv", "metrics.json", "backtest.csv", "config.toml"),
        *("model", "checkpoints"),
    }
    assert {entry.name for entry in (fitted / "model").iterdir()} == {
        "config.json",
        "weights.safetensors",
    }
    frame = pandas.read_csv(fitted / "forecast.csv", parse_dates=["time"])
    assert list(frame.columns) == ["time", "series", "channel", "mean", *QUANTILES]
    assert set(frame.series) == {"north", "south"}
    assert set(frame.channel) == {"level", "flow"}
    assert (np.diff(frame[QUANTILES].to_numpy(), axis=1) >= 0).all()
    backtest = pandas.read_csv(fitted / "backtest.csv", parse_dates=["origin", "time"])
    assert (backtest.time > backtest.origin).all()


def test_metrics_have_the_promised_form(fitted):
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert set(metrics["model"]) == SCORES
    names = {"persistence", "seasonal_naive", "climatology", "linear", "gru"}
    assert set(metrics["baselines"]) == names and set(metrics["shares"]) == {
        "persistence",
        "linear",
    }
    assert all(set(scores) == SCORES for scores in metrics["baselines"].values())
    assert metrics["nfe"] > 0
    assert metrics["seconds"] > 0
    assert metrics["seed"] == 0
    assert metrics["command"].startswith("isocline forecast ")
    assert metrics["horizon"] == 60
    assert [row["deleted"] for row in metrics["robustness"]] == [0.0, 0.25, 0.5]
    assert metrics["data"]["source"] == "small.csv"
    assert any("'date' (guessed)" in note for note in metrics["data"]["notes"])


def test_settings_are_kept_whole(fitted, small):
    settings = tomllib.loads((fitted / "config.toml").read_text())
    assert settings["data"] == str(small)
    assert settings["horizon"] == "60d"
    assert settings["epochs"] == 2
    assert settings["learning_rate"] == 0.003


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
def test_other_kinds_of_file_and_a_settings_file_give_the_same(
    isocline, tmp_path, small, fitted, kind
):
    """The same data and settings by another way: bitwise the same numbers."""
    data = tmp_path / f"data.{kind}"
    if kind == "tsv":
        write_rows(data, HEADER, small_rows())
    else:
        polars.read_csv(small, try_parse_dates=True).write_parquet(data)
    settings = (fitted / "config.toml").read_text().replace(str(small), data.name)
    (tmp_path / "run.toml").write_text(settings)
    out = tmp_path / "out"
    ended = isocline(
        "forecast", "--config", tmp_path / "run.toml", "--out", out, "--no-report", "--json"
    )
    assert ended.code == 0, ended.err
    document = ended.document
    assert document["out"] == str(out)
    assert document["model"] == json.loads((fitted / "metrics.json").read_text())["model"]
    assert "latent ODE  epoch 2/2" in ended.err
    assert (out / "forecast.csv").read_bytes() == (fitted / "forecast.csv").read_bytes()
    weights = "model/weights.safetensors"
    assert (out / weights).read_bytes() == (fitted / weights).read_bytes()


@pytest.mark.parametrize("case", ["constant", "large", "huge"])
def test_strange_values_end_well_or_in_words(isocline, tmp_path, case):
    def strange(cell):
        values = {"constant": "7", "large": f"{cell}e90", "huge": f"{cell}e150"}
        return values[case] if cell else ""

    rows = [(*row[:2], *map(strange, row[2:])) for row in small_rows()]
    file = write_rows(tmp_path / "strange.csv", HEADER, rows)
    out = tmp_path / "out"
    ended = isocline("forecast", file, "--horizon", "60d", "--out", out, "--no-report", *TINY)
    assert "Traceback" not in ended.err
    assert ended.code == (2 if case == "huge" else 0), ended.err
    if case == "huge":
        assert "too large" in ended.err
        assert "'level'" in ended.err
        return
    frame = pandas.read_csv(out / "forecast.csv")
    assert np.isfinite(frame["mean"]).all()
    if case == "constant":
        assert np.allclose(frame["mean"], 7, atol=1)


def test_a_report_is_made_of_the_results(isocline, tmp_path, small, monkeypatch):
    """The page itself is tested with the report; here it is handed what it needs, and written."""
    handed = {}

    def report_page(forecaster, **parts):
        handed.update(parts)
        return "<!doctype html>"

    module = types.ModuleType("isocline.report")
    module.report_page = report_page
    monkeypatch.setitem(sys.modules, "isocline.report", module)
    arguments = ["forecast", small, "--horizon", "60d", "--out", tmp_path / "out", *TINY, "--quiet"]
    ended = isocline(*arguments)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (tmp_path / "out" / "report.html").read_text() == "<!doctype html>"
    assert set(handed) == {"forecast", "backtest", "robustness", "metrics", "command", "source"}
    assert handed["source"] == "small.csv"

    def broken(forecaster, **parts):
        raise RuntimeError("no ink")

    module.report_page = broken
    # The checkpoints are there, so this takes no training.
    ended = isocline(*arguments, "--resume")
    assert ended.code == 1
    assert "no ink" in ended.err
    assert (tmp_path / "out" / "metrics.json").exists()
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_missing_library_is_named_before_the_training(isocline, tmp_path, small, monkeypatch):
    monkeypatch.setattr("isocline.cli.staged_run.find_spec", lambda name: None)
    ended = isocline("forecast", small, "--horizon", "60d", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "pip install 'isocline[plot]'" in ended.err
    assert not (tmp_path / "out").exists()


def csv_of(text):
    return pandas.read_csv(io.StringIO(text), parse_dates=["time"])


def test_predict_writes_csv(isocline, tmp_path, fitted):
    as_fitted = isocline("predict", fitted / "model")
    assert as_fitted.code == 0
    assert as_fitted.out == (fitted / "forecast.csv").read_text()
    longer = csv_of(isocline("predict", fitted, "--horizon", "6M").out)
    assert longer.time.max() > csv_of(as_fitted.out).time.max()
    file = tmp_path / "new.csv"
    ended = isocline("predict", fitted / "model", "--out", file)
    assert ended.out == ""
    assert file.read_text() == as_fitted.out


def test_predict_at_times(isocline, tmp_path, fitted):
    listed = csv_of(isocline("predict", fitted, "--at", "2017-09-01,2017-08-01T12:00").out)
    expected = pandas.to_datetime(["2017-08-01T12:00", "2017-09-01T00:00"])
    assert set(listed.time) == set(expected)
    assert len(listed) == 2 * 2 * 2
    words = isocline("predict", fitted, "--at", "2017-08-01T12:00", "2017-09-01")
    pandas.testing.assert_frame_equal(csv_of(words.out), listed)
    file = tmp_path / "times.csv"
    file.write_text("date,station\n2017-08-01,north\n2017-09-01,south\n")
    own = csv_of(isocline("predict", fitted, "--at", file).out)
    assert list(zip(own.series, own.time.dt.month))[::2] == [("north", 8), ("south", 9)]
    file.write_text("when\n2017-09-01\n")
    assert len(csv_of(isocline("predict", fitted, "--at", file).out)) == 4
    document = isocline("predict", fitted, "--at", "2017-09-01", "--json").document
    assert document["forecast"][0]["time"].startswith("2017-09-01T00:00:00")
    assert set(document["forecast"][0]) == set(listed.columns)


def test_predict_from_newer_data(isocline, tmp_path, fitted):
    file = write_rows(tmp_path / "newer.csv", HEADER, small_rows(seed=1, days=1000))
    frame = csv_of(isocline("predict", fitted, "--data", file).out)
    assert frame.time.min() > pandas.Timestamp("2017-07-01")


def test_evaluate_repeats_the_backtest(isocline, tmp_path, fitted):
    ended = isocline("evaluate", fitted / "model", "--json", "--out", tmp_path / "windows.csv")
    assert ended.code == 0
    kept = json.loads((fitted / "metrics.json").read_text())
    for name, score in ended.document["model"].items():
        assert score == pytest.approx(kept["model"][name], rel=1e-6)
    assert (tmp_path / "windows.csv").read_text() == (fitted / "backtest.csv").read_text()
    table = isocline("evaluate", fitted / "model").out
    assert all(name in table for name in ("latent ODE", "persistence", "climatology", "GRU"))
    other = write_rows(tmp_path / "other.csv", HEADER, small_rows(seed=1))
    other = isocline("evaluate", fitted, "--data", other, "--json").document
    assert other["model"]["rmse"] != kept["model"]["rmse"]


def test_evaluate_from_chosen_cutoffs(isocline, tmp_path, fitted):
    cutoffs = "2017-01-20,2017-03-01"
    ended = isocline(
        "evaluate", fitted, "--cutoffs", cutoffs, "--json", "--out", tmp_path / "a.csv"
    )
    assert ended.code == 0
    assert ended.document["cutoffs"] == ["2017-01-20T00:00:00", "2017-03-01T00:00:00"]
    assert {row["model"] for row in ended.document["scores"]} >= {"model", "persistence", "gru"}
    assert csv_of((tmp_path / "a.csv").read_text()).cutoff.nunique() == 2
    told = isocline("evaluate", fitted, "--count", 2, "--step", "10d", "--horizon", "30d")
    assert "2 cut-offs, the weights as they are" in told.out
    assert all(name in told.out for name in ("climatology", "regression", "GRU"))


def test_evaluate_refuses_cutoffs_that_the_model_has_seen(isocline, fitted):
    for arguments, words in (
        (["--cutoffs", "2015-06-01"], "has seen"),
        (["--cutoffs", "yesterday"], "--cutoffs yesterday"),
        (["--refit"], "--cutoffs"),
    ):
        ended = isocline("evaluate", fitted, *arguments)
        assert ended.code and words in ended.err.replace("\n", " ")


def test_info_describes_a_model(isocline, fitted):
    for path in (fitted, fitted / "model"):
        document = isocline("info", path, "--json").document
        assert document["kind"] == "model"
        assert document["horizon"] == 60
        assert document["settings"]["members"] == 1
        assert document["scores"]["model"].keys() == SCORES
        assert document["data"]["rows"] == 200
    assert "latent size 2" in isocline("info", fitted).out


def test_info_describes_a_table(isocline, small):
    document = isocline("info", small, "--json").document
    assert document["kind"] == "table"
    assert document["columns"] == {
        "time": "date",
        "series": "station",
        "targets": ["level", "flow"],
        "known": [],
        "past": [],
        "static": [],
    }
    assert document["rows"] == 200
    assert document["time_kind"] == "datetime"
    north = document["series"][0]
    assert 0.05 < north["missing_by_channel"]["level"] < 0.2 < north["missing_by_channel"]["flow"]
    assert north["first"] < north["last"]
    shown = isocline("info", small)
    assert "'date' (guessed)" in shown.out
    assert "south" in shown.out


def test_info_describes_built_in_data_and_the_installation(isocline):
    assert isocline("info", "sst", "--json").document["channels"] == ["sst"]
    narrowed = isocline("info", "seattle_weather", "--target", "wind", "temp_max", "--json")
    assert narrowed.document["channels"] == ["wind", "temp_max"]
    wrong = isocline("info", "seattle_weather", "--target", "wnd")
    assert wrong.code == 2
    assert "Did you mean 'wind'?" in wrong.err
    assert isocline("info", "seattle_weather", "--time", "when").code == 2
    document = isocline("info", "--json").document
    assert document["versions"]["isocline"]
    expected = ["sst", "seattle_weather", "lynx_hare", "sunspots", "stocks", "us_macro"]
    classics = ["airline", "co2", "electrical_equipment", "nile", "fertility"]
    assert document["builtin_data"] == [*expected, "us_employment", *classics]


def test_a_saved_model_can_be_moved(isocline, tmp_path, fitted):
    shutil.copytree(fitted / "model", tmp_path / "elsewhere")
    assert isocline("predict", tmp_path / "elsewhere").out == isocline("predict", fitted).out


def test_a_list_of_times_may_be_longer_than_the_name_of_a_file(isocline, fitted):
    days = ",".join(f"2018-{month:02}-{day:02}" for month in range(1, 13) for day in (1, 11, 21))
    assert len(csv_of(isocline("predict", fitted, "--at", days).out)) == 36 * 2 * 2


def test_times_beyond_what_the_model_is_trained_for_are_noted(isocline, fitted):
    ended = isocline("predict", fitted, "--at", "2031-01-01")
    assert ended.code == 0
    assert "ahead, but the model is trained for 60 days" in ended.err
    assert isocline("predict", fitted, "--horizon", "60d").err == ""


def test_a_device_is_written_and_not_replaced(isocline, tmp_path, fitted):
    expected = (fitted / "forecast.csv").read_text()
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "file.csv")
    assert isocline("predict", fitted, "--out", link).code == 0
    assert link.is_symlink()
    assert (tmp_path / "file.csv").read_text() == expected
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(pipe.read_text)
        assert isocline("predict", fitted, "--out", pipe).code == 0
        assert read.result() == expected
    assert pipe.is_fifo()
