"""What densities refuse of columns and contexts, in words, and what they read."""

from __future__ import annotations

import ast
import datetime
import re

import numpy as np
import pandas
import polars
import pytest
from scipy import sparse

from isocline.errors import InputError
from isocline.estimators import ContinuousFlow
from isocline.estimators.density_columns import read_numbers
from isocline.estimators.density_context import Encoding
from isocline.estimators.density_refusing import require_density

DRAW = np.random.default_rng(0)
NUMBERS = DRAW.normal(size=40)
DAYS = pandas.date_range("2024-01-01", periods=40)


def refused(values, bounds=None):
    """What is said of a table that no density describes; None if it is taken."""
    try:
        require_density(read_numbers(values), bounds or {}, False)
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pandas.DataFrame({"x": NUMBERS, "day": DAYS}), "Column 'day' holds dates or times"),
        (pandas.DataFrame({"x": NUMBERS, "gone": DAYS - DAYS[0]}), "'gone' holds dates or times"),
        (polars.DataFrame({"x": NUMBERS, "day": DAYS.date}), "Column 'day' holds dates or times"),
        (np.array([[datetime.date(2024, 1, 1)]] * 3), "Column 0 .* holds dates or times"),
        (
            pandas.DataFrame({"x": NUMBERS, "kind": pandas.Categorical(np.arange(40) % 20)}),
            "Column 'kind' is categorical",
        ),
        (pandas.DataFrame(DRAW.normal(size=(40, 2)), columns=["a", "a"]), "that is called 'a'"),
        (np.ma.masked_less(DRAW.normal(size=(40, 2)), -1), "holds NaN in row"),
        (
            np.ma.masked_array(DRAW.normal(size=(40, 2)).astype(object), np.eye(40, 2)),
            r"Column 0 .* holds NaN in row 0 \(counted from 0\), and 2 rows",
        ),
        (sparse.csr_array(DRAW.normal(size=(40, 2))), "X is sparse: .* its toarray"),
        ([[0.5, 1.5], [1.5, 10**400]] * 20, r"Column 1 .* row 1 \(counted.* too large"),
        (DRAW.normal(size=(40, 2)) * [1, 1e160], "Column 1 .* as large as .* in other units"),
        (DRAW.normal(size=(40, 2)) * [1e-170, 1], "Column 0 .* as small as .* in other units"),
    ],
)
def test_columns_that_are_no_numbers(table, message):
    with pytest.raises(InputError, match=message):
        ContinuousFlow().check(table)


def test_masked_numbers_keep_their_precision():
    single = np.ma.masked_array(DRAW.normal(size=(40, 2)).astype(np.float32))
    assert not read_numbers(single).double and read_numbers(single.astype(float)).double


def test_a_frame_may_call_its_columns_anything():
    frame = pandas.DataFrame(DRAW.normal(size=(40, 2)), columns=["a", 1])
    table = read_numbers(frame)
    assert table.names is None
    np.testing.assert_array_equal(table.values, frame.to_numpy())


@pytest.mark.parametrize("rows", [40, 60, 200, 239])
def test_months_are_rounded(rows):
    draw = np.random.default_rng(rows)
    months = draw.integers(1, 13, rows)[:, None]
    assert "takes only 12 values" in refused(months)
    assert refused(draw.normal(size=(rows, 2))) is None
    # Counts in the thousands repeat now and then, and are nearly continuous.
    assert refused(draw.integers(0, 5000, rows)[:, None] * 1.0) is None


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (np.linspace(0, 1, 40) + 1j, "Context column 0 holds complex numbers"),
        ([datetime.date(2024, 1, 1)] * 40, "Context column 0 holds dates or times"),
    ],
)
def test_contexts_that_are_neither_numbers_nor_words(context, message):
    with pytest.raises(InputError, match=message):
        ContinuousFlow().check(np.stack([NUMBERS, NUMBERS**3], axis=1), context=context)


def test_few_rows_may_be_alike_but_not_most_of_them():
    five = np.random.default_rng(1).normal(size=(5, 2))
    assert "15 of 20 rows are duplicates" in refused(np.repeat(five, 4, 0))
    assert refused(np.concatenate([five, five[:2]])) is None


def test_rows_that_repeat_are_told_from_columns_that_do():
    assert "120 of 150 rows are duplicates" in refused(np.repeat(DRAW.normal(size=(30, 3)), 5, 0))
    # A column that repeats of itself, too little to be refused, hides no copies.
    beside = DRAW.normal(size=(30, 2))
    beside[1, 1] = beside[0, 1]
    assert "120 of 150 rows are duplicates" in refused(np.repeat(beside, 5, 0))
    months = DRAW.integers(1, 13, (200, 2))
    assert "Column 0" in refused(months)


@pytest.mark.parametrize("draw", ["uniform", "exponential"])
def test_bounds_that_are_named_in_the_message_are_taken(draw):
    values = getattr(np.random.default_rng(1), draw)(size=(2000, 1))
    message = refused(values)
    assert "seems to be bounded below" in message
    bounds = ast.literal_eval(re.search(r"bounds=(\{.*?\})", message)[1])
    low, high = bounds[0]
    assert -0.05 < low < values.min() and (high is None or values.max() < high < 1.05)
    ContinuousFlow(bounds=bounds).check(values)


def test_infinite_bounds_are_none():
    values = np.random.default_rng(1).exponential(size=(2000, 1))
    _, bounds, _ = ContinuousFlow(bounds={0: (0, np.inf)}).check(values)
    assert bounds == {0: (0.0, None)}


A, B = DRAW.normal(size=(2, 40))
FRAME = pandas.DataFrame({"a": A, "b": B})


def test_context_columns_are_those_of_fit():
    encoding = Encoding.of(FRAME, 40)
    assert encoding(FRAME, 40).shape == (40, 2)
    np.testing.assert_array_equal(encoding(FRAME.to_numpy(), 40), encoding(FRAME, 40))
    for other in (FRAME[["b", "a"]], FRAME.rename(columns={"b": "c"})):
        with pytest.raises(InputError, match=r"learnt from a, b: give these, in this order"):
            encoding(other, 40)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (
            np.where(np.arange(80).reshape(40, 2) == 7, np.nan, 1.0),
            "column 1 is not finite .* row 3",
        ),
        (FRAME.assign(b=FRAME.b.where(FRAME.b.index != 5)), "column 'b' is not finite .* row 5"),
        (np.ma.masked_less(np.arange(40.0), 3), "column 0 is not finite .* in row 0 .* 3 rows"),
        (np.ma.masked_array(["x", "y"] * 20, [0, 1] * 20), "column 0 is empty in row 1 .* 20 rows"),
        (sparse.csr_array(np.eye(40)), "The context is sparse: .* its toarray"),
        ([1] * 39 + [10**400], "column 0 holds a number in row 39 .* too large"),
        (["x"] * 39 + [None], "Context column 0 is empty in row 39"),
        (pandas.DataFrame({"w": pandas.array(["x"] * 39 + [pandas.NA])}), "'w' is empty in row 39"),
        ([[1.0, "x"]] * 39 + [["y", "x"]], r"column 0 holds numbers and words \(1.0 and 'y'\)"),
        ([[1.0, 2.0]] * 39 + [[1.0]], "rows are needed equally long"),
        ([[1.0, 2.0]], "has 1 rows: one for each of the 40 rows is needed"),
        (np.full(40, 1e200), "as large as 1e.200"),
        (DAYS.to_numpy(), "Context column 0 holds dates or times"),
        (np.zeros((40, 1, 1)), r"shape \(40, 1, 1\)"),
    ],
)
def test_contexts_that_can_not_be_read(context, message):
    with pytest.raises(InputError, match=message):
        Encoding.of(context, 40)


def test_numbers_beside_words_stay_numbers():
    rows = [[float(number), "even" if index % 2 else "odd"] for index, number in enumerate(A)]
    encoding = Encoding.of(rows, 40)
    assert encoding.columns[0]["mean"] == pytest.approx(A.mean())
    assert encoding.columns[1] == {"categories": ["even", "odd"]} and encoding.size == 3
    assert encoding([[0.0, "even"]], 9).shape == (9, 3)
