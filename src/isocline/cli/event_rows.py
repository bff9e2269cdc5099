"""The rows that `isocline events` reads: when an event was, and in which series."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float, Int

from isocline.data.cells import Source, parse_times, suspected_dates, texts_of
from isocline.data.columns import SERIES_NAMES, choose_time, require_column
from isocline.data.contents import series_of
from isocline.data.frames import filled_rows
from isocline.data.reading import read_cells
from isocline.data.table import TimeAxis
from isocline.errors import InputError

MOST_SEQUENCES = 200_000


class EventRows(NamedTuple):
    """The events of a table, in the order of its rows.

    Attributes:
        names: of the series; one that is empty if none is told apart.
        codes: the place among the names of each event's series.
        times: numbers on the axis.
        axis: of times.
        column: of the times.
        source: where each event stands, for messages.
        notes: what was guessed.
        like_series: where none are told apart, columns that are called like a series and name some
            rows alike.
    """

    names: tuple[str, ...]
    codes: Int[np.ndarray, " events"]
    times: Float[np.ndarray, " events"]
    axis: TimeAxis
    column: str
    source: Source
    notes: tuple[str, ...]
    like_series: tuple[str, ...]


class Sequences(NamedTuple):
    """Sequences of events that were watched equally long.

    Attributes:
        names: one each.
        times: of the events of each, from 0 and in order.
        end: how long each was watched.
        unit: of times and end: hours, or what the column of numbers is called.
        kind: what a sequence is: a series, or a period.
        notes: what was guessed, and left out.
    """

    names: tuple[str, ...]
    times: list[Float[np.ndarray, " events"]]
    end: float
    unit: str
    kind: str
    notes: tuple[str, ...]

    def some(self, chosen: np.ndarray) -> list[Float[np.ndarray, " events"]]:
        """The times of those that a mask marks."""
        return [self.times[place] for place in np.flatnonzero(chosen)]


def apart_by(
    codes: Int[np.ndarray, " events"], times: Float[np.ndarray, " events"], amount: int
) -> list[Float[np.ndarray, " part"]]:
    """The times of each of so many codes, in order; of one that no event has, none."""
    borders = np.cumsum(np.bincount(codes, minlength=amount))[:-1]
    return np.split(times[np.lexsort((times, codes))], borders)


def read_event_rows(data: str, *, time: str | None, series: str | None) -> EventRows:
    """The events in a file.

    Args:
        data: CSV, TSV or Parquet, one row an event.
        time: the column of times; guessed if not given.
        series: the column of series. A series whose only row has no time had no event.

    Raises:
        InputError: no such file or column, or a cell that is no time; names column and row.
    """
    path = Path(data)
    frame = nw.from_native(read_cells(path), eager_only=True)
    cells, source = filled_rows(frame, Source(path.name), "Give a table with one row an event.")
    for name in (time, series):
        require_column(name, cells.columns, source)
    if time is not None and time == series:
        raise InputError(f"Column '{time}' is named by --time and by --series: choose one.")
    notes: tuple[str, ...] = ()
    if time is None:
        time = choose_time(cells, source, series)
        notes = (f"time column: '{time}' (guessed)",)
    names, codes = series_of(cells, series, source)
    seen = np.array([text != "" for text in texts_of(cells[time])])
    if series is None:
        _require_times(seen, time, source)
    else:
        _require_empty_alone(seen, names, codes, time, source)
    source = source.some(np.flatnonzero(seen))
    axis, times = parse_times(cells[time].filter(seen.tolist()), source)
    if axis.kind == "number":
        notes += suspected_dates(times, time, "which can be cut in days")
    like = () if series is not None else _like_series(cells, time)
    return EventRows(names, codes[seen], times, axis, time, source, notes, like)


def _like_series(cells: nw.DataFrame, time: str) -> tuple[str, ...]:
    """Columns that are called like a series; a counter of rows is none."""
    called = [one for one in cells.columns if one != time and one.lower() in SERIES_NAMES]
    return tuple(one for one in called if cells[one].n_unique() < len(cells))


def _require_times(seen: np.ndarray, time: str, source: Source) -> None:
    """Refuse a row without a time where no series is told apart."""
    if not seen.all():
        raise InputError(
            f"The time is missing {source.at(time, int(np.argmin(seen)))}. Fill the cell, or "
            f"delete the row; only where --series tells series apart, an empty time says that one "
            f"had no event."
        )


def _require_empty_alone(
    seen: np.ndarray, names: tuple[str, ...], codes: np.ndarray, time: str, source: Source
) -> None:
    """Refuse a row without a time whose series has events, and a table without any."""
    if not seen.any():
        raise InputError(
            f"No row of {source.label} has a time in column '{time}': there is no event to learn "
            f"from."
        )
    eventful = np.isin(codes, codes[seen])
    wrong = np.flatnonzero(~seen & eventful)
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"The time is missing {source.at(time, row)}, and the series '{names[codes[row]]}' has "
            f"events: an empty time says that there was none. Fill the cell, or delete the row."
        )
