"""Times to forecast: horizons in words, lists of times in files, regular grids."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from isocline.data.cells import Source, parse_times
from isocline.data.columns import TIME_NAMES, kind_of
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
    if match is None:
        raise InputError(f"'{text}' is not a length of time. {_EXAMPLES}, or a plain number.")
    number, unit = float(match[1]), match[2]
    if not 0 < number < float("inf"):
        raise InputError(f"A length of time must be positive and finite, and '{text}' is not.")
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
    path: str | Path, axis: TimeAxis, column: str | None = None, series: str | None = None
) -> dict[str | None, Float[np.ndarray, "times"]]:
    """The times in a file, increasing and without repeats, as numbers on the axis.

    Args:
        path: CSV, TSV or Parquet with a time column and, if each series has its own times, a
            series column. Other columns are not looked at.
        axis: of the table that is forecast.
        column: name of the time column; the only column, or guessed, if not given.
        series: name of the series column, if there is one.

    Returns:
        Times of each series by its name; under None where they hold for every series.

    Raises:
        InputError: as `read_table`, or times of another kind than those of the axis.
    """
    import narwhals.stable.v2 as nw

    from isocline.data.columns import require_column
    from isocline.data.frames import filled_rows, series_of
    from isocline.data.reading import read_cells

    path = Path(path)
    cells, source = filled_rows(nw.from_native(read_cells(path)), Source(path.name))
    for name in filter(None, (column, series)):
        require_column(name, cells.columns, source)
    column = column or _time_column(cells, source, axis)
    found, times = parse_times(cells[column], source)
    if found.kind != axis.kind:
        raise InputError(
            f"Column '{column}' of {path.name} has {found.kind}s, but the times of the table are "
            f"{axis.kind}s. Give times of the same kind."
        )
    if series is None:
        return {None: np.unique(times)}
    names, codes = series_of(cells, series, source)
    return {name: np.unique(times[codes == code]) for code, name in enumerate(names)}


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
