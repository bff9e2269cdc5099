"""From rows to sequences of events: each series as one, or a record cut in periods."""

from __future__ import annotations

import numpy as np

from isocline.errors import InputError

from .event_rounding import rounding_of, spread_within
from .event_rows import MOST_SEQUENCES, EventRows, Sequences, apart_by, read_event_rows
from .events_settings import EventsSettings


def read_sequences(settings: EventsSettings) -> Sequences:
    """The sequences in a file.

    Raises:
        InputError: options that do not go together, or any fault of the table; names the column,
            the row or the option, and says how to mend it.
    """
    _require_fitting(settings)
    rows = read_event_rows(settings.data, time=settings.time, series=settings.series)
    if settings.every is not None:
        from .event_periods import cut_periods

        return cut_periods(rows, settings)
    _require_numbers(rows, settings)
    end = _required_end(rows, settings.end)
    rounding = rounding_of(rows.times, rows.codes, end, dated=False)
    if rounding.coarsest >= end:
        raise InputError(
            f"The times in column '{rows.column}' of {rows.source.label} are {rounding.words}, and "
            f"say nothing of when before --end {end:g}. Give finer ones."
        )
    times, around = spread_within(rows.times, rounding, end, settings.seed)
    found = apart_by(rows.codes, times, len(rows.names))
    notes = (*rows.notes, *rounding.note(around))
    return Sequences(rows.names, found, end, rows.column, "series", notes)


def _require_fitting(settings: EventsSettings) -> None:
    """Refuse options that contradict each other."""
    if settings.every is not None and settings.end is not None:
        raise InputError(
            "--end says how long each series was watched, and --every cuts a record in periods of "
            "its length: give one of them. Until when the record goes is said by --stop."
        )
    alone = [name for name in ("start", "stop") if getattr(settings, name) is not None]
    if settings.every is None and alone:
        raise InputError(
            f"--{alone[0]} is for a record that --every cuts in periods: give --every as well, as "
            f"in --every 1d, or leave --{alone[0]} out."
        )


def _require_numbers(rows: EventRows, settings: EventsSettings) -> None:
    """Refuse rows of which it is not clear what the sequences are."""
    if settings.series is None:
        like = rows.like_series
        hint = f" (is it '{like[0]}'?)" if like else ""
        periods = "1d" if rows.axis.kind == "datetime" else "100"
        raise InputError(
            f"Say what the sequences in {rows.source.label} are: name the column that tells them "
            f"apart by --series{hint}, or have one long record cut in periods by --every {periods}."
        )
    if rows.axis.kind == "datetime":
        raise InputError(
            f"The times in column '{rows.column}' of {rows.source.label} are dates. Have each "
            f"series cut in periods by --every 1d (or 12h, 7d, ...); or give the time since each "
            f"sequence began as numbers, and --end, how long each was watched."
        )
    if len(rows.names) > MOST_SEQUENCES:
        raise InputError(
            f"Column '{settings.series}' of {rows.source.label} has {len(rows.names):,} series, "
            f"more than {MOST_SEQUENCES:,}. Give a part of them."
        )


def _required_end(rows: EventRows, end: float | None) -> float:
    """How long each series was watched, which no event may contradict."""
    last = float(rows.times.max())
    if end is None:
        raise InputError(
            f"Say how long each series was watched: --end NUMBER, in the units of column "
            f"'{rows.column}'. The last event is at {last:g}; from it alone nobody can tell."
        )
    outside = np.flatnonzero((rows.times < 0) | (rows.times > end))
    if len(outside):
        row = int(outside[0])
        time = float(rows.times[row])
        fault = "before 0, where each series begins" if time < 0 else f"after --end {end:g}"
        more = f", and {len(outside)} events are outside" if len(outside) > 1 else ""
        mend = (
            "Give the time since the series began"
            if time < 0
            else f"Give a later --end (the last event is at {last:g})"
        )
        raise InputError(
            f"The event at {time:g} {rows.source.at(rows.column, row)} is {fault}{more}. {mend}, "
            f"correct the cell, or delete the row."
        )
    return end
