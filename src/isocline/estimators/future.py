"""Known inputs after the last observation: from where they come, and how far they must reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np

from isocline.data import Series, SeriesTable
from isocline.data.cells import Source, parse_numbers, parse_times
from isocline.data.columns import did_you_mean, require_column
from isocline.data.contents import rows_of, series_of
from isocline.data.frames import as_frame, filled_rows
from isocline.errors import InputError

IN_MEMORY = Source("the frame of future inputs", spreadsheet=False)
_NUMBERS = "Known inputs are numbers: correct the cell."
_GIVE = (
    "Give its later values by future= (--future), or in rows of the data whose targets are empty; "
    "or ask for earlier times."
)


def known_ahead(series: Series, horizon: float) -> float:
    """For how long after its last row all known inputs of a series are given, up to a horizon."""
    covariates = series.covariates
    if covariates is None or not covariates.known.shape[1]:
        return horizon
    ends = [covariates.given(index)[-1] for index in range(covariates.known.shape[1])]
    return min(horizon, float(min(ends) - series.times[-1]))


def require_past(table: SeriesTable) -> None:
    """InputError where a known input is not given over all rows of a series."""
    for one in table.series:
        for index, name in enumerate(table.columns.known):
            given = one.covariates.given(index) if one.covariates is not None else np.empty(0)
            if not len(given):
                raise InputError(
                    f"The known input '{name}' has no value{_of(one)}. Fill its cells, or name it "
                    f"by --past (in Python: past=) if it is not known ahead."
                )
            if given[0] <= one.times[0] and one.times[-1] <= given[-1]:
                continue
            edges = (given[0], one.times[0], given[-1], one.times[-1])
            first, begin, last, end = _labels(table, edges)
            raise InputError(
                f"The known input '{name}' is given from {first} to {last}{_of(one)}, but that is "
                f"observed from {begin} to {end}. Fill the cells at its beginning and end (between "
                f"them cells may be empty), or delete the rows."
            )


def require_future(table: SeriesTable, asked: Mapping[str, np.ndarray]) -> None:
    """InputError where a known input is not given up to the last time that is asked of a series."""
    for one in table.series:
        late = asked.get(one.name, np.empty(0))
        if not len(late):
            continue
        for index, name in enumerate(table.columns.known):
            given = one.covariates.given(index) if one.covariates is not None else np.empty(0)
            # The last time of a grid may be beyond by a rounding.
            if not len(given) or late[-1] - given[-1] > 1e-9 * max(abs(late[-1]), 1.0):
                last, end = _labels(table, (*(given[-1:] if len(given) else late[-1:]), late[-1]))
                reach = f"given up to {last}" if len(given) else "not given"
                raise InputError(
                    f"The known input '{name}'{_of(one)} is {reach}, but a forecast is asked for "
                    f"{end}. {_GIVE}"
                )


def with_future(table: SeriesTable, future: Any, source: Source = IN_MEMORY) -> SeriesTable:
    """The table with known inputs after the last row of each series.

    Args:
        table: to forecast.
        future: a frame with the table's time column, its series column (without it the inputs hold
            for every series), and a column for each known input. Rows that are not later than the
            last of their series are not looked at.
        source: where the frame comes from, for messages.

    Raises:
        InputError: a column or a value is missing, or a series has no such row.
    """
    columns = table.columns
    if not columns.known:
        raise InputError(
            "Future inputs are given (future=, --future), but the model has no known inputs. Fit "
            "it with known= (--known) the columns, or leave them out."
        )
    cells, source = filled_rows(as_frame(future), source)
    for name in (columns.time, *columns.known):
        require_column(name, cells.columns, source)
    series = columns.series if columns.series in cells.columns else None
    times, values = _times(cells, table, source), _values(cells, columns.known, source)
    names, codes = series_of(cells, series, source)
    rows = dict(zip(names, rows_of(codes, len(names)), strict=True))
    continued = []
    for one in table.series:
        mine = rows[""] if series is None else rows.get(one.name, np.empty(0, np.int64))
        later = mine[times[mine] > one.times[-1]]
        if not len(later):
            close = did_you_mean(one.name, names) if series is not None else ""
            end = _labels(table, one.times[-1:])[0]
            raise InputError(
                f"{source.label[0].upper()}{source.label[1:]} has no row{_of(one)} after its last "
                f"observation ({end}).{close} Give its known inputs there, as far as it is "
                f"forecast."
            )
        later = later[np.argsort(times[later], kind="stable")]
        _refuse_twice(times, later, columns.time, source)
        continued.append(_continued(one, times[later], values[later]))
    return table.with_series(continued)


def _continued(series: Series, times: np.ndarray, values: np.ndarray) -> Series:
    covariates = series.covariates
    assert covariates is not None  # a table with known inputs has them in every series
    return replace(series, covariates=covariates.continued(float(series.times[-1]), times, values))


def _times(cells: nw.DataFrame, table: SeriesTable, source: Source) -> np.ndarray:
    name = table.columns.time
    axis, times = parse_times(cells[name], source)
    if axis.kind != table.axis.kind:
        raise InputError(
            f"Column '{name}' of {source.label} has {axis.kind}s, but the times of the data are "
            f"{table.axis.kind}s. Give times of the same kind."
        )
    return times


def _values(cells: nw.DataFrame, names: tuple[str, ...], source: Source) -> np.ndarray:
    values = np.stack([parse_numbers(cells[name], source, _NUMBERS) for name in names], axis=1)
    rows, columns = np.nonzero(np.isnan(values))
    if len(rows):
        raise InputError(
            f"The value is missing {source.at(names[int(columns[0])], int(rows[0]))}. A forecast "
            f"needs all known inputs at each time that is given: fill the cell, or delete the row."
        )
    return values


def _refuse_twice(times: np.ndarray, rows: np.ndarray, column: str, source: Source) -> None:
    twice = np.flatnonzero(np.diff(times[rows]) == 0)
    if len(twice):
        first, second = (source.row(int(row)) for row in rows[twice[0] : twice[0] + 2])
        raise InputError(
            f"{first.capitalize()} and {second} of {source.label} have the same time in column "
            f"'{column}' for one series. Delete one of them."
        )


def _labels(table: SeriesTable, numbers: Sequence[float] | np.ndarray) -> list[str]:
    """Times as people write them: midnight goes without saying."""
    labels = table.axis.to_label(np.asarray(numbers))
    return [str(label).removesuffix("T00:00:00") for label in labels]


def _of(series: Series) -> str:
    return f" for series '{series.name}'" if series.name else ""
