"""Cells become numbers and times, with messages that name the column and the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float, Int

from isocline.data.table import TimeAxis
from isocline.errors import InputError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nat", "<na>"})
_DATE = re.compile(
    r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2}))?"  # 2012-01-31, 2012/1/31, 2012-01
    r"(?:[T ]\s*(\S+?)\s*(Z|[+-]\d\d:?\d\d)?)?"  # 12:30:05.5, with or without +02:00
)
_COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What numbers in a column that is called like a date may count, and from when.
_COUNTS = (
    ("seconds since 1970", timedelta(seconds=1), _EPOCH),
    ("milliseconds since 1970", timedelta(milliseconds=1), _EPOCH),
    ("the days of a spreadsheet", timedelta(days=1), datetime(1899, 12, 30, tzinfo=UTC)),
)
_CALLED_LIKE_A_DATE = re.compile(r"date|time|stamp|^ds$|^day$", re.IGNORECASE)
_MICROSECONDS_A_DAY = 86_400e6


@dataclass(frozen=True)
class Source:
    """Where cells come from, for messages.

    Args:
        label: the file's name, or "the data frame".
        spreadsheet: rows count from 2 (the header is row 1), as a spreadsheet shows them;
            otherwise from 0, as a data frame does; None for a list, which has no columns.
        rows: which row of the source each row at hand was, where some were skipped.
    """

    label: str
    spreadsheet: bool | None = True
    rows: Int[np.ndarray, "rows"] | None = None

    def row(self, index: int) -> str:
        """Name of the row at `index`, which counts from 0 without the header."""
        index = index if self.rows is None else int(self.rows[index])
        return f"row {index + 2}" if self.spreadsheet else f"row {index} (counted from 0)"

    def some(self, places: Int[np.ndarray, " rows"]) -> Source:
        """The source of some of its rows, at these places among those at hand."""
        return replace(self, rows=places if self.rows is None else self.rows[places])

    def at(self, column: str, index: int) -> str:
        """Name of one cell."""
        if self.spreadsheet is None:
            return f"(number {index + 1} of {self.label})"
        return f"in column '{column}', {self.row(index)} of {self.label}"


def is_number(text: str) -> bool:
    """Whether a cell reads as a number (infinity included, so that it can be refused by name)."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def is_date(text: str) -> bool:
    """Whether a cell reads as an ISO date, with or without time and zone."""
    try:
        parse_date(text)
    except ValueError:
        return False
    return True


def parse_date(text: str) -> datetime:
    """A datetime of `2012-01`, `2012-01-31`, `2012/1/31`, `2012-01-31T12:30:05.5+02:00`, ....

    Raises:
        ValueError: the text is none of these.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, clock, zone = match.groups()
    date = f"{year}-{int(month):02}-{int(day or 1):02}"
    return datetime.fromisoformat(f"{date}T{clock}{zone or ''}" if clock else date)


def texts_of(column: nw.Series) -> list[str]:
    """The cells of a text column, stripped; cells that mean 'missing' become empty."""
    texts = ["" if cell is None else str(cell).strip() for cell in column.to_list()]
    return ["" if text.lower() in MISSING else text for text in texts]


_MEND = (
    "Correct the cell, leave it empty if nothing was observed, or name other columns by --target "
    "(in Python: target=)."
)


def parse_numbers(
    column: nw.Series, source: Source, mend: str = _MEND
) -> Float[np.ndarray, "rows"]:
    """The cells of a number column as float64, NaN where missing.

    Args:
        column: of numbers or text.
        source: where it comes from.
        mend: what to do about a cell that is no number, or none that is finite.

    Raises:
        InputError: text, or an infinity.
    """
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        numbers = _floats(column)
    else:
        texts = texts_of(column)
        _refuse(texts, lambda text: text == "" or is_number(text), column.name, source, mend)
        numbers = np.array([float(text) if text else np.nan for text in texts], np.float64)
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise InputError(
            f"Infinity {source.at(column.name, infinite[0])}: a value must be finite. {mend}"
        )
    return numbers


def _floats(column: nw.Series) -> Float[np.ndarray, "rows"]:
    if not column.null_count():
        return np.array(column.to_numpy(), np.float64)
    # Frames disagree on what a null is in their own arrays.
    cells = zip(column.is_null().to_list(), column.to_list())
    return np.array([np.nan if null else float(cell) for null, cell in cells], np.float64)


def _refuse(
    texts: list[str], good: Callable[[str], bool], name: str, source: Source, mend: str
) -> None:
    for index, text in enumerate(texts):
        if not good(text):
            commas = is_number(text.replace(",", ""))
            hint = " (a decimal mark must be a point, and thousands have none)" if commas else ""
            raise InputError(f"'{text}' {source.at(name, index)} is not a number{hint}. {mend}")


def parse_times(column: nw.Series, source: Source) -> tuple[TimeAxis, Float[np.ndarray, "rows"]]:
    """The time axis of a column, and its cells as numbers on that axis.

    Raises:
        InputError: a cell is missing, infinite, unreadable, or dates with and without zone mix.
    """
    if column.dtype == nw.Datetime or column.dtype == nw.Date:
        _require([not null for null in column.is_null().to_list()], column.name, source)
        stamps = np.array(column.dt.timestamp("us").to_list(), np.float64)
        zone = getattr(column.dtype, "time_zone", None)
        return TimeAxis("datetime", zone), stamps / _MICROSECONDS_A_DAY
    if column.dtype.is_numeric():
        return TimeAxis("number"), _finite(_floats(column), column.name, source)
    return parse_time_texts(texts_of(column), column.name, source)


def parse_time_texts(
    texts: list[str], name: str, source: Source
) -> tuple[TimeAxis, Float[np.ndarray, "rows"]]:
    """What `parse_times` makes of a column of text called `name`."""
    _require(texts, name, source)
    # Half the cells decide what the column is meant to be, so that one typing error is a typing
    # error and not another kind of axis.
    if sum(map(is_number, texts)) * 2 > len(texts):
        return TimeAxis("number"), _number_times(texts, name, source)
    return _date_times(texts, name, source)


def _require(cells: list[Any], name: str, source: Source) -> None:
    for index, cell in enumerate(cells):
        if not cell:
            raise InputError(
                f"The time is missing {source.at(name, index)}. Every row needs a time: fill the "
                f"cell, or delete the row."
            )


def _finite(numbers: np.ndarray, name: str, source: Source) -> Float[np.ndarray, "rows"]:
    """The times, unless one of them is not finite or all of them are dates in disguise."""
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(
            f"The time is missing or infinite {source.at(name, bad[0])}. Every row needs a time: "
            f"correct the cell, or delete the row."
        )
    # As numbers they would jump from the end of each month to the next.
    if all(_COMPACT_DATE.fullmatch(f"{number:.17g}") for number in numbers):
        raise InputError(
            f"The times in column '{name}' of {source.label}, such as {numbers[0]:.0f}, look like "
            f"dates without dashes. Write them as 2020-01-31."
        )
    return numbers


def suspected_dates(
    numbers: Float[np.ndarray, "rows"], name: str, merit: str = "which have seasons"
) -> tuple[str, ...]:
    """A note on times that are taken as numbers, but may count the seconds or days of dates.

    Args:
        numbers: the times.
        name: of their column.
        merit: what dates are good for.
    """
    if not _CALLED_LIKE_A_DATE.search(name):
        return ()
    for count, step, start in _COUNTS:
        first, last = ((datetime(year, 1, 1, tzinfo=UTC) - start) / step for year in (1990, 2050))
        if first <= numbers.min() and numbers.max() < last:
            date = (start + float(numbers.min()) * step).date()
            note = f"the times in column '{name}' are taken as plain numbers; if they count {count}"
            return (f"{note} (the first is {date} then), write them as dates, {merit}",)
    return ()


def _number_times(texts: list[str], name: str, source: Source) -> Float[np.ndarray, "rows"]:
    for index, text in enumerate(texts):
        if not is_number(text):
            raise InputError(
                f"'{text}' {source.at(name, index)} is not a number, as other times in this column "
                f"are. Correct the cell, or delete the row."
            )
    return _finite(np.array(texts, np.float64), name, source)


def _date_times(
    texts: list[str], name: str, source: Source
) -> tuple[TimeAxis, Float[np.ndarray, "rows"]]:
    stamps = _datetimes(texts, name, source)
    zoned = [stamp.tzinfo is not None for stamp in stamps]
    if any(zoned) and not all(zoned):
        odd = zoned.index(not zoned[0])
        raise InputError(
            f"The time '{texts[odd]}' {source.at(name, odd)} has {'a' if zoned[odd] else 'no'} "
            f"time zone, unlike the rows before it. Give all times a zone, or none."
        )
    # Whole microseconds first: the difference is then exact, and rounds only once.
    microsecond = timedelta(microseconds=1)
    utc = [stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC) for stamp in stamps]
    days = [((stamp - _EPOCH) // microsecond) / _MICROSECONDS_A_DAY for stamp in utc]
    return TimeAxis("datetime", "UTC" if all(zoned) else None), np.array(days, np.float64)


def _datetimes(texts: list[str], name: str, source: Source) -> list[datetime]:
    stamps = []
    for index, text in enumerate(texts):
        try:
            stamps.append(parse_date(text))
        except ValueError:
            raise InputError(
                f"'{text}' {source.at(name, index)} is not a time. Write dates as 2020-01-31 or "
                f"2020-01-31T12:30:00 (with +01:00 or Z behind, if there is a time zone), or all "
                f"times as plain numbers."
            ) from None
    return stamps
