"""The page: it needs nothing else, shows all it should, and believes nobody's names."""

from __future__ import annotations

import re
import subprocess
import sys
import types

import matplotlib
import numpy as np
import pandas
import pytest

SECTIONS = ["forecast", "backtest", "scores", "robustness", "latent", "training", "data", "run"]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=//example.org/x onerror=alert(1)>',
    "a&b $\\frac",
]


@pytest.fixture(scope="module")
def usual(make, page):
    return page(make())


@pytest.fixture(scope="module")
def hostile(make, page):
    table = make(HOSTILE, ["$x_1$", "' onload='alert(1)", "<b>{{ title }}"], time="t$^{<i>}$")
    return page(table, source="<style>", command="isocline </code><script src=x>")


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_the_page_needs_nothing_else(name, request):
    read = request.getfixturevalue(name)
    ids = read.every("id")
    assert len(ids) == len(set(ids))
    assert not {tag for tag, _ in read.tags} & {"script", "img", "link", "iframe", "object", "base"}
    assert not {key for _, values in read.tags for key in values if key.startswith(("on", "src"))}
    used = set(read.every("href") + read.every("xlink:href"))
    used |= {f"#{found}" for found in re.findall(r"url\(#([^)]*)\)", read.page)}
    assert used <= {f"#{one}" for one in ids}
    assert not re.search(r"@import|url\((?!#)", read.page)
    assert "default-src 'none'" in "".join(read.every("content"))


def test_all_sections_are_there(usual):
    assert [one for one in usual.every("id") if one in SECTIONS] == SECTIONS
    assert {f"#{one}" for one in SECTIONS} <= set(usual.every("href"))
    # Two panels of a forecast, two of the backtest and two by lead time, in two sizes each; the
    # plane and three components of the latent state; three figures of the training.
    assert usual.count("svg", role="img") == 3 * 2 * 2 + 4 + 3
    assert all(usual.every("aria-label"))
    for text in (
        "isocline forecast small.csv",
        "north",
        "level",
        "+10.0 %",
        "GRU",
        "Persistence",
    ):
        assert text in usual.text


def test_names_are_shown_as_they_are(hostile):
    for name in (*HOSTILE, "$x_1$", "' onload='alert(1)", "<b>{{ title }}", "t$^{<i>}$"):
        assert name in hostile.text
    assert "lead time (t$^{<i>}$)" in hostile.text


def test_the_same_arguments_give_the_same_bytes(make, page, usual):
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert page(make()).page == usual.page


def test_ticks_say_what_they_mean(make, page):
    """Coordinates are rounded to save bytes; what people read is not."""
    read = page(make(["a"], ["small"], size=0.001))
    assert {"0.003", "0.004", "0.005"} <= set(re.findall(r">([\d.]+)</text>", read.page))


def test_a_series_without_a_name_is_called_by_its_channels(make, page):
    read = page(make([""], ["level", "flow"], dates=True, time="day"))
    assert read.text.count("Forecast of level and flow Skip") == 1
    assert read.page.count('<figcaption><strong title="flow">flow</strong></figcaption>') == 2
    assert "Europe/Berlin" in read.text
    assert re.search(r"For 2016-\d\d-\d\d to 2016-\d\d-\d\d: up to 40 days after", read.text)


def test_times_that_are_numbers_have_the_name_of_their_column(usual):
    assert re.search(r"For hours \d+ to \d+: up to 40 \(hours\) after the last", usual.text)
    assert "lead time (hours)" in usual.text


def test_of_many_series_some_are_shown_and_the_rest_counted(make, page):
    read = page(make([f"s{n}" for n in range(30)]))
    assert "6 series more are in forecast.csv" in read.text
    assert "18 series more are in backtest.csv" in read.text
    assert "24 of 30 series are shown" in read.text
    assert read.page.count('<strong title="s29">') == 2


def test_what_is_missing_is_said(make, page):
    """Nothing but the table: a page nevertheless."""
    empty = pandas.DataFrame()
    read = page(
        make(),
        {"history_": [], "latent_": False},
        forecast=empty,
        tested=empty,
        robustness=[],
        metrics={},
    )
    for text in (
        "There are no baseline scores to compare with.",
        "There is no forecast to show.",
        "There is no backtest to show.",
        "This was not measured.",
        "There are no latent trajectories to show.",
        "There is no record of the training.",
    ):
        assert text in read.text
    assert read.count("svg") == 0


def test_nothing_observed_after_the_origins_is_no_failure(make, page, backtest_of):
    table = make()
    read = page(table, tested=backtest_of(table).assign(observed=np.nan))
    assert "Nothing was observed after these origins." in read.text
    assert "By lead time" not in read.text


def test_baselines_are_drawn_by_lead_time_where_the_backtest_has_them(make, page, backtest_of):
    table = make(["a"], ["level", "flow"])
    frame = backtest_of(table)
    frame["climatology"] = frame["observed"].fillna(0)
    frame["linear"] = frame["gru"] = np.nan
    read = page(table, tested=frame)
    legend = [name.removeprefix("m-") for name in read.every("class") if name.startswith("m-")]
    # A method that could not forecast every row is not compared on others.
    assert legend == ["model", "persistence", "seasonal_naive", "climatology"]
    label = next(text for text in read.every("aria-label") if text.startswith("RMSE of level by"))
    assert "Climatology from 0 to 0" in label
    assert read.page.count("● </span>0<") == 2  # the best RMSE of each channel
    names = ["persistence", "climatology", "linear", "gru", "seasonal_naive"]
    bare = page(table, tested=frame.drop(columns=names))
    assert "errors by lead time are not part of this backtest" in bare.text


def test_importing_the_report_loads_neither_jax_nor_pandas():
    heavy = {"jax", "pandas", "matplotlib.pyplot"}
    code = f"import isocline.report, sys; print({heavy} & {{*sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


@pytest.mark.slow
def test_a_forecaster_hands_over_what_the_page_asks_for(make, monkeypatch):
    """The real one, but for its training, which takes long and changes no shape."""
    from isocline.estimators import LatentODEForecaster
    from isocline.report import report_page

    history = [{"epoch": 1, "loss": 1.0, "validation": 0.5, "nfe": 9.0, "seconds": 1.0}]

    def untrained(model, *_, **__):
        return types.SimpleNamespace(model=model, history=history, best_epoch=1)

    monkeypatch.setattr("isocline.estimators.training.train", untrained)
    small = {"members": 1, "hidden_size": 4, "latent_size": 2, "encoder": "rnn", "batch_size": 8}
    forecaster = LatentODEForecaster(horizon=30, periods=(), **small).fit(make([""], time="t"))
    backtest = forecaster.backtest()
    text = report_page(
        forecaster,
        forecast=forecaster.predict(),
        backtest=backtest,
        robustness=forecaster.robustness((0.5,), repeats=1),
        metrics=backtest.metrics,
        command="",
        source="",
    )
    # Forecast, backtest, RMSE and coverage in two sizes; the latent plane and two components;
    # loss, validation and NFE.
    assert text.count('<svg class="plot"') == 4 * 2 + 3 + 3
    assert text.count('class="m-') == 6
    assert "latent ODE, " in text and "linear regression" in text
