"""Covariates on the command line: options, settings file, future, saved model, and faults."""

from __future__ import annotations

import json
import re
import tomllib

import numpy as np
import pandas
import pytest

from .conftest import TINY

OPTIONS = [
    "--known",
    "price,holiday",
    "--past",
    "flow",
    "--static",
    "region",
    "--calendar",
    "weekday",
]
SHORT = ["--horizon", "10d", "--no-report", *TINY]


def rows(days: int = 120) -> pandas.DataFrame:
    random = np.random.default_rng(0)
    parts = []
    for name, region in (("a", "north"), ("b", "south")):
        price = 10 + np.cumsum(random.normal(size=days)) / 4
        parts.append(
            pandas.DataFrame(
                {
                    "date": pandas.Timestamp("2023-01-01")
                    + pandas.to_timedelta(np.arange(days), "D"),
                    "shop": name,
                    "sales": 50 - price + random.normal(size=days),
                    "price": price,
                    "holiday": (random.random(days) < 0.1).astype(int),
                    "flow": random.normal(size=days),
                    "region": region,
                }
            )
        )
    return pandas.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The table, and the inputs of the twenty days after it."""
    folder = tmp_path_factory.mktemp("shops")
    whole = rows(140)
    later = whole.date > whole.date.iloc[119]
    whole[~later].to_csv(folder / "data.csv", index=False)
    whole.loc[later, ["date", "shop", "price", "holiday"]].to_csv(folder / "plan.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def fitted(files):
    from isocline.cli import main

    out = files / "out"
    arguments = ["forecast", files / "data.csv", *OPTIONS, "--future", files / "plan.csv"]
    assert main([str(word) for word in (*arguments, "--out", out, *SHORT)]) == 0
    return out


def test_results_say_what_the_covariates_were(fitted, files):
    settings = tomllib.loads((fitted / "config.toml").read_text())
    assert settings["known"] == ["price", "holiday"] and settings["calendar"] == ["weekday"]
    assert settings["future"] == str(files / "plan.csv")
    metrics = json.loads((fitted / "metrics.json").read_text())
    assert metrics["data"]["channels"] == ["sales"]  # not the inputs, though they are numbers
    assert metrics["data"]["known"] == ["price", "holiday"] and metrics["data"]["past"] == ["flow"]
    frame = pandas.read_csv(fitted / "forecast.csv", parse_dates=["time"])
    assert set(frame.series) == {"a", "b"} and len(frame) == 20


def test_a_saved_model_forecasts_with_a_plan_and_tells_of_it(isocline, fitted, files):
    model = fitted / "model"
    ended = isocline("info", model)
    assert ended.code == 0
    for words in ("known ahead: price, holiday", "of the past: flow", "static: region", "weekday"):
        assert words in ended.out
    # The plan came with the data, so it is part of the model; another one takes its place.
    kept = isocline("predict", model)
    named = isocline("predict", model, "--future", files / "plan.csv")
    assert kept.code == named.code == 0 and kept.out == named.out
    plan = pandas.read_csv(files / "plan.csv").assign(price=30.0)
    plan.to_csv(files / "dear.csv", index=False)
    assert isocline("predict", model, "--future", files / "dear.csv").out != kept.out
    assert isocline("evaluate", model, "--data", files / "data.csv", "--json").code == 0


@pytest.mark.slow
def test_settings_are_used_again_to_the_bit(isocline, fitted, tmp_path):
    out = tmp_path / "again"
    ended = isocline("forecast", "--config", fitted / "config.toml", "--out", out, "--no-report")
    assert ended.code == 0
    assert (out / "forecast.csv").read_bytes() == (fitted / "forecast.csv").read_bytes()


REFUSED = {
    "two roles": (["--known", "price", "--past", "price"], "'price' is asked for twice"),
    "target and role": (["--target", "price", "--known", "price"], "'price' is asked for twice"),
    "no such column": (["--known", "prise"], "Did you mean 'price'?"),
    "no such calendar": (["--calendar", "weekdays"], "calendar=.*hour, weekday, month, yearday"),
    "no future": (
        ["--known", "price"],
        "'price' for series 'north' is given up to 2023-04-30, .*--future",
    ),
    "no such file": (["--known", "price", "--future", "nowhere.csv"], "nowhere.csv"),
    "future of nothing": (["--future", "PLAN"], "no known inputs"),
    "too far": (
        [*OPTIONS, "--future", "PLAN", "--at", "2023-05-30"],
        "up to 2023-05-20, .*for 2023-05-30",
    ),
    "changes": (["--static", "holiday", "--future", "PLAN"], "'holiday'.*changes within"),
    "bad interpolation": (["--interpolation", "cubic"], "interpolation"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_faults_are_found_before_the_training(isocline, files, tmp_path, case):
    options, words = REFUSED[case]
    options = [str(files / "plan.csv") if word == "PLAN" else word for word in options]
    out = tmp_path / "out"
    ended = isocline("forecast", files / "data.csv", "--out", out, *SHORT, *options)
    assert ended.code == 2 and not out.exists()
    assert re.search(words, ended.err.replace("\n", " ")), ended.err


def test_data_may_follow_the_options(isocline, files, tmp_path):
    """`--known price data.csv` takes the file for another column, and gives it back."""
    ended = isocline("forecast", "--out", tmp_path / "out", "--known", "price", files / "data.csv")
    assert ended.code == 2 and "given up to 2023-04-30" in ended.err


def test_built_in_data_have_roles_as_well(isocline, tmp_path):
    options = ["--target", "temp_max", "--known", "wind", "--out", tmp_path / "out"]
    ended = isocline("forecast", "seattle_weather", *options)
    assert ended.code == 2 and "'wind' is given up to 2015-12-31" in ended.err
