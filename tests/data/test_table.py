"""Laws of the table: cutting, thinning, labels, and what a saved model keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.data import Columns, Series, SeriesTable, TimeAxis
from isocline.errors import InputError


def a_table(rows=50, channels=("y", "z"), seed=0, names=("a", "b"), kind="number"):
    random = np.random.default_rng(seed)
    series = []
    for name in names:
        values = random.standard_normal((rows, len(channels)))
        values[random.random(values.shape) < 0.2] = np.nan
        series.append(Series(name, np.cumsum(random.uniform(0.1, 1, rows)), values))
    columns = Columns("t", "id", tuple(channels))
    return SeriesTable(tuple(series), tuple(channels), TimeAxis(kind), columns)


def observed(table):
    return sum(int((~np.isnan(one.values)).sum()) for one in table.series)


@given(fraction=st.floats(0, 0.95), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_thinning_deletes_just_that_many_cells(fraction, seed):
    table = a_table()
    thinned = table.thin(fraction, seed)
    assert observed(thinned) == observed(table) - round(fraction * observed(table))
    for before, after in zip(table.series, thinned.series):
        rows = np.isin(before.times, after.times)
        kept = ~np.isnan(after.values)
        np.testing.assert_array_equal(after.values[kept], before.values[rows][kept])
    again = table.thin(fraction, seed)
    for one, other in zip(thinned.series, again.series):
        np.testing.assert_array_equal(one.values, other.values)


@given(number=st.floats(1, 40))
@settings(deadline=None)
def test_until_keeps_the_past_alone(number):
    table = a_table()
    cut = table.until(number)
    assert cut.span[1] <= number
    for before, after in zip(table.series, cut.series):
        assert len(after) == (before.times <= number).sum()


def test_cutting_all_away_is_refused():
    table = a_table()
    with pytest.raises(InputError, match="empty"):
        table.until(-1)
    for fraction in (-0.1, 1.0, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            table.thin(fraction, 0)


def test_config_survives_json():
    table = a_table()
    back = SeriesTable.from_config(json.loads(json.dumps(table.config())))
    assert (back.columns, back.channels, back.axis) == (table.columns, table.channels, table.axis)
    assert list(back.to_frame().columns) == ["id", "t", "y", "z"]
    assert back.with_series(table.series).to_frame().equals(table.to_frame())


def test_spacing_and_span():
    columns = Columns("t", None, ("y",))
    series = (
        Series("a", np.array([0, 1, 3.0]), np.zeros((3, 1))),
        Series("b", np.array([10, 12.0]), np.ones((2, 1))),
    )
    table = SeriesTable(series, ("y",), TimeAxis("number"), columns)
    assert (table.span, table.duration, table.median_spacing) == ((0, 12), 12, 2)


@given(seconds=st.lists(st.integers(-4_000_000_000, 8_000_000_000), min_size=1))
def test_labels_and_numbers_are_inverse(seconds):
    axis = TimeAxis("datetime")
    labels = np.array(seconds, "datetime64[s]")
    numbers = axis.to_number(labels)
    np.testing.assert_array_equal(numbers, np.array(seconds) / 86_400)
    np.testing.assert_array_equal(axis.to_label(numbers), labels)
    np.testing.assert_array_equal(axis.to_number([str(label) for label in labels]), numbers)


def test_labels_of_the_wrong_kind_are_refused():
    assert TimeAxis("datetime").to_number("1970-01-02") == [1.0]
    for axis, labels in (
        (TimeAxis("datetime"), [1.0]),
        (TimeAxis("number"), ["2020-01-01"]),
        (TimeAxis("number"), [np.nan]),
        (TimeAxis("datetime"), np.array(["NaT"], "datetime64[s]")),
        (TimeAxis("datetime"), ["soon"]),
    ):
        with pytest.raises(InputError):
            axis.to_number(labels)


@pytest.mark.parametrize(
    ("times", "values"),
    [([0, 0], [[1], [2]]), ([1, 0], [[1], [2]]), ([0, np.nan], [[1], [2]]), ([0, 1], [1, 2])],
)
def test_series_check_themselves(times, values):
    with pytest.raises(InputError, match="'x'"):
        Series("x", np.array(times, float), np.array(values, float))
