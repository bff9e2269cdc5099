"""Horizons, lists of times, and periods."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.data import (
    Columns,
    Series,
    SeriesTable,
    TimeAxis,
    candidate_periods,
    parse_horizon,
    read_times,
    regular_times,
)
from isocline.errors import InputError

DATES, NUMBERS = TimeAxis("datetime"), TimeAxis("number")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("90d", 90),
        ("36h", 1.5),
        ("2w", 14),
        ("6M", 6 * 30.436875),
        ("1y", 365.2425),
        ("30min", 1 / 48),
        (" 1.5 days ", 1.5),
        ("12M", 365.2425),
    ],
)
def test_horizons(text, days):
    assert parse_horizon(text, DATES) == pytest.approx(days, rel=1e-12)


def test_horizons_of_numbers():
    assert parse_horizon("12.5", NUMBERS) == 12.5
    with pytest.raises(InputError, match=r"unit 'd'.*plain numbers"):
        parse_horizon("12d", NUMBERS)


@pytest.mark.parametrize(
    "text", ["0d", "-3d", "soon", "", "3 4d", "12.5", "5m", "5 parsecs", "1e999d", "nan"]
)
def test_bad_horizons(text):
    with pytest.raises(InputError):
        parse_horizon(text, DATES)


@given(last=st.floats(-1e5, 1e5), count=st.integers(1, 200), spacing=st.floats(0.01, 100))
def test_regular_times_reach_the_horizon(last, count, spacing):
    times = regular_times(last, count * spacing, spacing)
    assert len(times) == count
    np.testing.assert_allclose(times[[0, -1]], [last + spacing, last + count * spacing])


def test_a_horizon_shorter_than_the_spacing():
    np.testing.assert_array_equal(regular_times(5, 1, 30), [6])
    for horizon, spacing in ((0, 1), (1, 0), (1, np.nan)):
        with pytest.raises(InputError):
            regular_times(0, horizon, spacing)


def test_lengths_say_how_to_write_them():
    for axis, words in ((DATES, "Write 30min, 36h, 90d"), (NUMBERS, "Give a number in the units")):
        for text in ("soon", "-1d", "0"):
            with pytest.raises(InputError, match=words):
                parse_horizon(text, axis)


def test_seconds_that_are_too_coarse_become_milliseconds():
    days = 18_262 + np.array([0, 0.01, 0.4, 90.0]) / 86_400
    labels = DATES.to_label(days)
    assert [str(label)[11:] for label in labels] == [
        "00:00:00.000",
        "00:00:00.010",
        "00:00:00.400",
        "00:01:30.000",
    ]
    np.testing.assert_allclose(DATES.to_number(labels), days, atol=1e-3 / 86_400)
    assert str(DATES.to_label(18_262 + np.array([0, 1e-6]) / 86_400)[1])[11:] == "00:00:00.000001"
    assert str(DATES.to_label(days[-1])) == "2020-01-01T00:01:30"
    assert DATES.to_label(days[[0, 0, 3]]).dtype == "datetime64[s]"


def test_times_in_files_follow_the_last_observations(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("ds,box\n1970-01-09,a\n1970-01-05,b\n1970-01-04,a\n")
    read = read_times(path, DATES, series="box", ends={"a": 2.0, "b": 3.0})
    assert {name: list(times) for name, times in read.items()} == {"a": [3, 8], "b": [4]}
    for ends, words in (
        (
            {"a": 3.0, "b": 3.0},
            r"1970-01-04T00:00:00 in column 'ds', row 4 of times.csv is not after",
        ),
        ({"a": 0.0}, r"'b' in column 'box', row 3 of times.csv is not in the data.*There are: a\."),
    ):
        with pytest.raises(InputError, match=words):
            read_times(path, DATES, series="box", ends=ends)
    with pytest.raises(InputError, match=r"1970-01-05T00:00:00 in column 'ds', row 3.*1970-01-07"):
        read_times(path, DATES, "ds", ends={"x": 1.0, "y": 6.0})


def test_times_in_files(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("when\n1970-01-03\n1970-01-02\n1970-01-02\n")
    np.testing.assert_array_equal(read_times(path, DATES)[None], [1, 2])
    with pytest.raises(InputError, match=r"'when' of times.csv has datetimes.*numbers"):
        read_times(path, NUMBERS)
    path.write_text("ds,box\n1970-01-03,a\n1970-01-02,a\n1970-01-09,b\n")
    by_series = read_times(path, DATES, series="box")
    assert {name: list(times) for name, times in by_series.items()} == {"a": [1, 2], "b": [8]}
    with pytest.raises(InputError, match=r"no column 'bxo'. Did you mean 'box'"):
        read_times(path, DATES, series="bxo")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"'a', 'b'.*not clear"):
        read_times(path, NUMBERS)
    path.write_text("t\n1\nx\n2\n")
    with pytest.raises(InputError, match=r"'x' in column 't', row 3"):
        read_times(path, NUMBERS)


def table_of(times, values, kind="number"):
    series = Series("", np.asarray(times), np.asarray(values)[:, None])
    return SeriesTable((series,), ("y",), TimeAxis(kind), Columns("t", None, ("y",)))


def test_the_calendar():
    days = np.arange(800.0)
    assert candidate_periods(table_of(days, days, "datetime")) == (365.2425, 7.0)
    hours = np.arange(0, 10, 1 / 24)
    assert candidate_periods(table_of(hours, hours, "datetime")) == (1.0,)
    assert candidate_periods(table_of(days[:13], days[:13], "datetime")) == ()


@pytest.mark.parametrize("period", [3.0, 7.7, 20.0])
def test_a_sine_is_found_at_irregular_times(period):
    random = np.random.default_rng(1)
    times = np.sort(random.uniform(0, 100, 200))
    wave = 0.05 * times + np.sin(2 * np.pi * times / period) + 0.5 * random.standard_normal(200)
    (found,) = candidate_periods(table_of(times, wave))
    assert found == pytest.approx(period, rel=0.02)


def test_noise_has_no_period():
    times = np.arange(150.0)
    found = 0
    for seed in range(15):
        noise = np.random.default_rng(seed).standard_normal(150)
        assert candidate_periods(table_of(times, noise)) == ()
        found += len(candidate_periods(table_of(times, np.cumsum(noise))))
    assert found <= 2  # wandering may look like waves, now and then
    assert candidate_periods(table_of(times, np.ones(150))) == ()
    assert candidate_periods(table_of(times[:4], np.ones(4))) == ()
