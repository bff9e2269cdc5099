"""Laws of words, numbers, bins and verdicts."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.report import tables
from isocline.report.bands import bands
from isocline.report.choosing import apart, evenly, pairs
from isocline.report.leads import by_lead
from isocline.report.words import count, listed, moment, number, percent, signed, span

SPACE = "\N{NO-BREAK SPACE}"


@given(st.floats(-1e300, 1e300), st.integers(1, 6))
def test_a_number_reads_back_to_its_digits(value, digits):
    text = number(value, digits)
    assert "-" not in text
    back = float(text.replace("−", "-").replace(",", ""))
    # Below 1e-300 a double has fewer digits itself.
    assert back == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits), abs=1e-300)
    if 1e-4 <= abs(value) < 1e7:
        assert "e" not in text


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "3", np.float32("nan")])
def test_what_is_no_number_is_a_dash(value):
    assert {number(value), percent(value), signed(value)} == {"–"}


def test_numbers_of_numpy_are_numbers():
    assert number(np.float32(1.5)) == "1.50"
    assert number(np.int64(3)) == "3.00"


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50"), (0.033, "3.3"), (0, "0"), (1, "100"), (-0.25, "−25")]
)
def test_percent(share, text):
    assert percent(share) == text + SPACE + "%"


def test_a_change_that_rounds_to_nothing_has_no_sign():
    assert [signed(value).replace(SPACE, " ") for value in (-1e-5, 1e-5, 0.02, -0.02)] == [
        "0.0 %",
        "0.0 %",
        "+2.0 %",
        "−2.0 %",
    ]


def test_lists_and_counts():
    assert [listed(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [count(n, "row") for n in (1, 2000)] == ["1 row", "2,000 rows"]


def test_spans_of_time(make):
    dated, plain = make(dates=True), make()
    spans = {1 / 86_400: "1 second", 1 / 24: "60 minutes", 1.5: "36 hours", 30: "30 days"}
    spans |= {730.485: "2 years", 0: "0 seconds"}
    assert {length: span(dated, length) for length in spans} == spans
    assert [span(plain, length) for length in (40, 0.125)] == ["40 (hours)", "0.125 (hours)"]


def test_moments_are_those_of_the_file(make):
    table = make(["a"], dates=True)
    frame = table.to_frame()
    for label, time in zip(frame["hours"], table.series[0].times):
        assert moment(table, time) == str(label)[:16].removesuffix(" 00:00")


def test_a_backtest_read_from_csv_is_the_same(make, backtest_of):
    """Times cross a change of the clock, and a series may have no name."""
    table = make([""], ["level", "flow"], dates=True)
    frame = backtest_of(table)
    read = pandas.read_csv(io.StringIO(frame.to_csv(index=False)))
    one, other = bands(frame, table), bands(read, table)
    assert set(one) == set(other) == {("", "level"), ("", "flow")}
    for key, band in one.items():
        np.testing.assert_allclose(band.times, other[key].times, atol=1e-9)
        np.testing.assert_allclose(band.origins, other[key].origins, atol=1e-9)
        for name, values in band.columns.items():
            np.testing.assert_allclose(values, other[key][name], rtol=1e-12)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=300), st.randoms())
def test_bins_of_lead_time_share_out_all_rows(leads, random):
    lead = np.array(leads, np.float64)
    values = np.array([random.random() for _ in leads])
    centres, means = by_lead(lead, {"lead": lead, "value": values, "one": np.ones(len(lead))})
    assert 1 <= len(centres) <= 8
    assert (np.diff(centres) > 0).all()
    np.testing.assert_allclose(means["lead"], centres)
    np.testing.assert_allclose(means["one"], 1)
    assert values.min() - 1e-12 <= means["value"].min() <= means["value"].max()
    assert means["value"].max() <= values.max() + 1e-12


@given(st.lists(st.floats(0, 1e4), min_size=1), st.floats(0.1, 1e3))
def test_origins_that_are_shown_lie_apart(origins, distance):
    kept = apart(np.array(origins), distance)
    assert kept[-1] == max(origins)
    assert len(kept) <= 4
    assert set(kept) <= set(origins)
    assert (np.diff(kept) >= distance * (1 - 1e-6)).all()


@given(st.integers(1, 80), st.integers(1, 9), st.integers(2, 30))
def test_choices_are_even_and_few(names, channels, most):
    shown = evenly(range(names), most)
    assert len(shown) == min(names, most)
    assert (shown[0], shown[-1]) == (0, names - 1)
    chosen = pairs([f"s{n}" for n in range(names)], [f"c{n}" for n in range(channels)], most)
    assert 0 < len(chosen) <= most
    assert len(set(chosen)) == len(chosen)


def scored(model: dict, **baselines: dict) -> dict:
    return {"model": model, "baselines": baselines}


@pytest.mark.parametrize(
    ("model", "tone", "text"),
    [
        (
            {"rmse": 0.9, "mae": 1.8},
            "better",
            "Better than every baseline: RMSE 10.0 % and MAE 10.0 % lower than Persistence.",
        ),
        (
            {"rmse": 0.9, "mae": 2.2},
            "mixed",
            (
                "Better than every baseline: RMSE 10.0 % lower than Persistence. "
                "Not better than the best baseline: MAE 10.0 % higher than Persistence."
            ),
        ),
        (
            {"rmse": 1.1},
            "worse",
            "Not better than the best baseline: RMSE 10.0 % higher than Persistence.",
        ),
        ({"rmse": 1.0}, "same", "As good as the best baseline: RMSE as that of Persistence."),
        ({}, "unknown", "There are no baseline scores to compare with."),
    ],
)
def test_verdicts(model, tone, text):
    said = tables.verdict(scored(model, persistence={"rmse": 1.0, "mae": 2.0}, gru=None))
    assert said["tone"] == tone
    assert said["text"].replace(SPACE, " ") == text


@given(st.floats(0, 1))
def test_what_is_said_of_the_bands_fits_the_number(covered):
    metrics = scored({"coverage_90": covered})
    (card,) = tables.cards(metrics, [])
    said = tables.coverage_sentence(metrics)
    shown = float(card["value"].removesuffix(SPACE + "%"))
    fits = 85 <= shown <= 95
    assert (card["tone"] == "better") == fits == ("band is right" in said)
    assert card["value"] in said


def test_the_best_of_each_column_is_marked():
    table = tables.score_table(
        scored({"rmse": 2.0, "coverage_90": 0.97}, gru={"rmse": 1.0, "coverage_90": 0.88})
    )
    marked = [[cell["best"] for cell in row["cells"]] for row in table["rows"]]
    assert marked == [[False] * 5, [True, False, False, False, True]]
