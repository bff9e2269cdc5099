"""Covariates in a table: roles are never guessed, nothing leaks, and faults are named."""

from __future__ import annotations

import numpy as np
import pandas
import polars
import pytest

from isocline.data import Covariates, Series, SeriesTable, read_table
from isocline.errors import InputError

ROLES = {"known": ["price", "holiday"], "past": "flow", "static": ["region", "size"]}


def shops(**changes) -> pandas.DataFrame:
    """Two series of four days, of which the last has inputs only."""
    frame = pandas.DataFrame(
        {
            "day": pandas.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04", "2024-01-05"] * 2),
            "shop": ["a"] * 4 + ["b"] * 4,
            "sales": [1.0, 2.0, 3.0, np.nan, 5.0, np.nan, 7.0, np.nan],
            "flow": [1.0, np.nan, 3.0, np.nan, 4.0, 5.0, np.nan, np.nan],
            "price": [9.0, np.nan, 8.0, 7.0, 9.0, 9.0, 8.0, 6.0],
            "holiday": [0, 1, 0, 0, 0, 1, 0, 1],
            "region": ["north"] * 4 + ["south", None, "south", "south"],
            "size": [10.0] * 4 + [20.0] * 4,
        }
    )
    for name, (row, value) in changes.items():
        frame[name] = frame[name].astype(object)
        frame.loc[row, name] = value
    return frame


def test_covariates_go_with_their_series_and_targets_are_guessed_around_them():
    table = SeriesTable.from_frame(shops(), **ROLES)
    assert table.channels == ("sales",) and table.columns.series == "shop"
    assert table.columns.covariates == ("price", "holiday", "flow", "region", "size")
    a, b = table.series
    np.testing.assert_array_equal(a.values[:, 0], [1, 2, 3])
    # A reading without a target is an observation; inputs without either are not.
    np.testing.assert_array_equal(b.values[:, 0], [5, np.nan, 7])
    np.testing.assert_array_equal(b.covariates.past[:, 0], [4, 5, np.nan])
    np.testing.assert_array_equal(a.covariates.known[:, 0], [9, np.nan, 8, 7])
    assert len(b.covariates.times) == 4 and b.covariates.times[-1] == b.times[-1] + 1
    assert a.covariates.static == ("north", 10.0) and b.covariates.static == ("south", 20.0)


def test_files_and_other_frames_hold_the_same(tmp_path):
    shops().to_csv(tmp_path / "shops.csv", index=False)
    frame = polars.read_csv(tmp_path / "shops.csv", try_parse_dates=True)
    wanted = SeriesTable.from_frame(shops(), **ROLES)
    for table in (
        read_table(tmp_path / "shops.csv", **ROLES),
        SeriesTable.from_frame(frame, **ROLES),
    ):
        for one, other in zip(table.series, wanted.series, strict=True):
            np.testing.assert_array_equal(one.covariates.known, other.covariates.known)
            np.testing.assert_array_equal(one.covariates.past, other.covariates.past)
            assert one.covariates.static == other.covariates.static


def test_rows_are_put_in_order_and_merged_with_their_covariates():
    frame = pandas.concat([shops().iloc[::-1], shops().iloc[:1].assign(flow=3.0, price=11.0)])
    table = SeriesTable.from_frame(frame, series="shop", **ROLES, sort=True, duplicates="mean")
    first = table.series[[one.name for one in table.series].index("a")]
    assert first.covariates.past[0, 0] == 2 and first.covariates.known[0, 0] == 10


def test_readings_are_cut_at_the_origin_and_what_is_known_is_not():
    one = SeriesTable.from_frame(shops(), **ROLES).series[0]
    early = one.between(-np.inf, one.times[1])
    assert early.covariates.past.shape == (2, 1) and len(early) == 2
    np.testing.assert_array_equal(early.covariates.known, one.covariates.known)
    table = SeriesTable.from_frame(shops(), **ROLES)
    for cut in (table.until(one.times[1]), table.thin(0.3, seed=0)):
        for left in cut.series:
            assert len(left.covariates.past) == len(left)


@pytest.mark.parametrize("hold", [False, True])
def test_known_inputs_go_straight_or_hold_between_their_times(hold):
    times = np.array([0.0, 1.0, 3.0])
    known = np.array([[0.0, 5.0], [2.0, np.nan], [4.0, 1.0]])
    covariates = Covariates(np.empty((0, 0)), times, known)
    found = covariates.at(np.array([-1.0, 0.5, 1.0, 2.0, 3.0, 9.0]), hold=hold)
    line = [[0, 5], [1, 13 / 3], [2, 11 / 3], [3, 7 / 3], [4, 1], [4, 1]]
    held = [[0, 5], [0, 5], [2, 5], [2, 5], [4, 1], [4, 1]]
    np.testing.assert_allclose(found, held if hold else line)
    later = covariates.continued(1.0, np.array([1.0, 2.0]), np.array([[7.0, 7.0], [8.0, 8.0]]))
    np.testing.assert_array_equal(later.times, [0, 1, 2])
    np.testing.assert_array_equal(later.known[:, 0], [0, 2, 8])


REFUSED = {
    "no such column": (shops(), {"known": "prices"}, "no column 'prices'. Did you mean 'price'"),
    "two roles": (shops(), {"known": "flow", "past": "flow"}, "'flow' is asked for twice"),
    "target and role": (
        shops(),
        {"target": "sales", "past": "sales"},
        "'sales' is asked for twice",
    ),
    "text as number": (
        shops(price=(2, "dear")),
        {"known": "price"},
        "'dear' in column 'price', row 2",
    ),
    "infinite": (shops(flow=(0, np.inf)), {"past": "flow"}, "Infinity in column 'flow', row 0"),
    "empty": (shops().assign(price=np.nan), {"known": "price"}, "Column 'price'.*has no value"),
    "static changes": (
        shops(region=(2, "east")),
        {"static": "region"},
        r"'region'.*changes within the rows of series 'a': it is north in row 0 .* east in row 2",
    ),
    "static number changes": (
        shops(size=(7, 3.0)),
        {"static": "size"},
        "series 'b': it is 20.*row 7",
    ),
    "static missing": (
        shops().assign(region=["north"] * 4 + [None] * 4),
        {"static": "region"},
        "'region'.*no value in the rows of series 'b'.*row 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_covariates_are_named(case):
    frame, roles, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        SeriesTable.from_frame(frame, series="shop", **roles)


def test_a_series_needs_rows_beside_its_inputs():
    frame = shops()
    frame.loc[[1, 2], ["sales", "flow"]] = np.nan
    with pytest.raises(InputError, match="series 'a' has one row only, row 0"):
        SeriesTable.from_frame(frame, **ROLES)


def test_shapes_are_checked():
    blank = Covariates(np.empty((2, 0)), np.empty(0), np.empty((0, 0)))
    with pytest.raises(InputError, match="3 times and 2 rows of past"):
        Series("a", np.arange(3.0), np.zeros((3, 1)), blank)
    with pytest.raises(InputError, match="known of shape"):
        Covariates(np.empty((2, 0)), np.arange(2.0), np.zeros((3, 1)))
    with pytest.raises(InputError, match="increasing"):
        Covariates(np.empty((2, 0)), np.zeros(2), np.zeros((2, 1)))


def test_a_table_without_covariates_has_none():
    table = SeriesTable.from_frame(shops()[["day", "shop", "sales"]])
    assert all(one.covariates is None for one in table.series) and not table.columns.covariates
    again = SeriesTable.from_config(
        table.config() | {"columns": {"time": "day", "series": "shop", "targets": ["sales"]}}
    )
    assert again.columns == table.columns
