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
