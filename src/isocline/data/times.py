"""Times to forecast: horizons in words, lists of times in files, regular grids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from isocline.data.cells import Source, parse_times
from isocline.data.columns import TIME_NAMES, did_you_mean, kind_of
from isocline.data.table import TimeAxis
from isocline.errors import InputError

_DAYS = {
    "s": 1 / 86_400,
    "min": 1 / 1_440,
    "h": 1 / 24,
    "d": 1.0,
    "w": 7.0,
    "M": 30.436875,
    "y": 365.2425,
}
_SPELLINGS = {
    "s": "sec second seconds",
    "min": "minute minutes",
    "h": "H hr hour hours",
    "d": "D day days",
    "w": "W week weeks",
    "M": "mo month months",
    "y": "Y yr year years",
}
_UNIT = {word: unit for unit, words in _SPELLINGS.items() for word in (unit, *words.split())}
_HORIZON = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([A-Za-z]*)")
_EXAMPLES = "Write 30min, 36h, 90d, 2w, 6M (months) or 1y"
_OF_NUMBERS = "Give a number in the units of the time column, such as 12.5"


def parse_horizon(text: str | float, axis: TimeAxis) -> float:
    """A length of time in units of the axis (days, where times are dates).

    Args:
        text: `"90d"`, `"36h"`, `"2w"`, `"6M"`, `"1y"`, `"30min"`; a plain number on an axis of
            numbers. A month is 30.436875 days and a year 365.2425.
        axis: decides whether a unit is needed or out of place.

    Raises:
        InputError: not a length, not positive, or with a unit that does not fit.
    """
    match = _HORIZON.fullmatch(str(text).strip())
    mend = _EXAMPLES if axis.kind == "datetime" else _OF_NUMBERS
    if match is None:
        raise InputError(f"'{text}' is not a length of time. {mend}.")
    number, unit = float(match[1]), match[2]
    if not 0 < number < float("inf"):
        raise InputError(f"The length of time '{text}' must be positive and finite. {mend}.")
    if axis.kind == "number":
        if unit:
            raise InputError(
                f"'{text}' has the unit '{unit}', but the times of this table are plain numbers. "
                f"Give the length in the units of the time column: {match[1]}, for instance."
            )
        return number
    if unit == "m":
        raise InputError(f"'{text}' may be minutes or months: write {match[1]}min or {match[1]}M.")
    if unit not in _UNIT:
        fault = f"has the unknown unit '{unit}'" if unit else "has no unit"
        raise InputError(f"'{text}' {fault}. {_EXAMPLES}.")
    return number * _DAYS[_UNIT[unit]]


def read_times(
    path: str | Path,
    axis: TimeAxis,
    column: str | None = None,
    series: str | None = None,
    *,
    ends: Mapping[str, float] | None = None,
) -> dict[str | None, Float[np.ndarray, "times"]]:
    """The times in a file, increasing and without repeats, as numbers on the axis.

    Args:
        path: CSV, TSV or Parquet with a time column and, if each series has its own times, a
            series column. Other columns are not looked at.
        axis: of the table that is forecast.
        column: name of the time column; the only column, or guessed, if not given.
        series: name of the series column, if there is one.
        ends: the last observation of each series, which all its times have to follow.

    Returns:
        Times of each series by its name; under None where they hold for every series.

    Raises:
        InputError: as `read_table`, times of another kind than those of the axis, or, given the
            ends, times that are not later or series that have none.
    """
    import narwhals.stable.v2 as nw

    from isocline.data.columns import require_column
    from isocline.data.contents import series_of
    from isocline.data.frames import filled_rows
    from isocline.data.reading import read_cells

    path = Path(path)
    cells, source = filled_rows(nw.from_native(read_cells(path)), Source(path.name))
    for name in (column, series):
        require_column(name, cells.columns, source)
    column = column or _time_column(cells, source, axis)
    found, times = parse_times(cells[column], source)
    if found.kind != axis.kind:
        raise InputError(
            f"Column '{column}' of {path.name} has {found.kind}s, but the times of the table are "
            f"{axis.kind}s. Give times of the same kind."
        )
    names, codes = series_of(cells, series, source)
    if ends is not None:
        if series is not None:
            _require_known(names, codes, ends, series, source)
        # Times that hold for every series have to follow the last one of all.
        last = [ends.get(name, max(ends.values())) for name in names]
        _require_later(times, np.array(last)[codes], axis, column, source)
    if series is None:
        return {None: np.unique(times)}
    return {name: np.unique(times[codes == code]) for code, name in enumerate(names)}


def _require_known(
    names: tuple[str, ...], codes: np.ndarray, known: Iterable[str], column: str, source: Source
) -> None:
    for code, name in enumerate(names):
        if name not in known:
            row = int(np.flatnonzero(codes == code)[0])
            raise InputError(
                f"The series '{name}' {source.at(column, row)} is not in the data."
                f"{did_you_mean(name, known)} There are: {', '.join(list(known)[:20])}. Correct "
                f"the name, or delete the row."
            )


def _require_later(
    times: np.ndarray, last: np.ndarray, axis: TimeAxis, column: str, source: Source
) -> None:
    early = np.flatnonzero(times <= last)
    if len(early):
        row = int(early[0])
        asked, end = axis.to_label([times[row], last[row]])
        raise InputError(
            f"The time {asked} {source.at(column, row)} is not after the last observation of its "
            f"series ({end}). Ask for later times, or give only the data up to the time from which "
            f"to forecast."
        )


def _time_column(cells, source: Source, axis: TimeAxis) -> str:
    if len(cells.columns) == 1:
        return cells.columns[0]
    fitting = [name for name in cells.columns if kind_of(cells[name]) == axis.kind]
    called = [name for name in fitting if name.lower() in TIME_NAMES]
    for candidates in (called, fitting):
        if len(candidates) == 1:
            return candidates[0]
    columns = ", ".join(f"'{name}'" for name in cells.columns)
    raise InputError(
        f"{source.label} has the columns {columns}, and it is not clear which one is the time. "
        f"Give a file with one time column, or call that column 'time'."
    )


def regular_times(last: float, horizon: float, spacing: float) -> Float[np.ndarray, "times"]:
    """Every `spacing` after `last`, up to `last + horizon`; at least that end itself.

    Raises:
        InputError: the horizon or the spacing is not positive and finite.
    """
    if not (0 < horizon < np.inf and 0 < spacing < np.inf):
        raise InputError(
            f"The horizon ({horizon}) and the spacing of times ({spacing}) must be positive."
        )
    # The allowance keeps a horizon of three tenths three steps of a tenth.
    count = int(np.floor(horizon / spacing * (1 + 1e-9)))
    return last + spacing * np.arange(1, count + 1) if count else np.array([last + horizon])
