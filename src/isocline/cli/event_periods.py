"""A long record of events, cut in periods of one length."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from isocline.errors import InputError

from .event_clock import DAY, Clock
from .event_rounding import Rounding, rounding_of, spread
from .event_rows import MOST_SEQUENCES, EventRows, Sequences, apart_by
from .events_settings import EventsSettings

# (periods of at least so many microseconds, the unit of their times, its name)
_UNITS = (
    (2 * DAY, DAY, "days"),
    (DAY / 12, DAY / 24, "hours"),
    (DAY / 720, DAY / 1440, "minutes"),
    (0.0, 1e6, "seconds"),
)
# Periods that are longer than such roundings.
_LONGER = {"days": "7d", "months": "365d", "years": "3653d"}


class _Span(NamedTuple):
    """So many periods of one length, from a start on; and until when the record goes."""

    start: float
    length: float
    amount: int
    until: float

    @property
    def stop(self) -> float:
        """The end of the last period."""
        return self.start + self.amount * self.length

    def places(self, times: Float[np.ndarray, " events"]) -> Int[np.ndarray, " events"]:
        """In which period each time is, counted from 0: before it, and after the last, as well."""
        # The allowance keeps three tenths at the start of the third period of a tenth.
        places = np.floor((times - self.start) / self.length + 1e-9)
        return np.clip(places, -1, self.amount).astype(np.int64)


def cut_periods(rows: EventRows, settings: EventsSettings) -> Sequences:
    """The periods of the record, those without an event as well; of each series, if there are any.

    All series are taken as watched over the same time. Periods that were not watched whole are left
    out, and the notes say so.

    Raises:
        InputError: a length or a time that does not fit, or nothing that is left.
    """
    clock = Clock(rows.axis, rows.column)
    times, length = clock.times(rows.times), clock.length(str(settings.every))
    rounding = rounding_of(times, rows.codes, length, clock.dated)
    _require_finer(rounding, length, rows, settings)
    record = float(times.min()), float((times + rounding.width).max())
    span = _span(clock, record, length, settings, len(rows.names))
    times = spread(times, rounding, settings.seed)
    places = span.places(times)
    inside = (places >= 0) & (places < span.amount)
    if not inside.any():
        raise InputError(
            f"No event of {rows.source.label} lies from {clock.label(span.start)} to "
            f"{clock.label(span.stop)}. Give another --start or --stop."
        )
    since = np.clip(times - span.start - places * length, 0, length)[inside]
    codes = (rows.codes * span.amount + places)[inside]
    unit, name = 1.0, rows.column
    if clock.dated:
        unit, name = next((size, called) for least, size, called in _UNITS if length >= least)
    notes = (
        *rows.notes,
        *_zone_notes(clock),
        *_span_notes(clock, span, record[0], settings),
        *_left_out(clock, places, span, settings),
        *rounding.note(),
        *_series_notes(rows),
    )
    found = apart_by(codes, since / unit, len(rows.names) * span.amount)
    return Sequences(_names(rows, clock, span), found, length / unit, name, "period", notes)


def _names(rows: EventRows, clock: Clock, span: _Span) -> tuple[str, ...]:
    """Of the periods of each series, by when they begin."""
    starts = [clock.label(span.start + place * span.length) for place in range(span.amount)]
    return tuple(f"{name} {start}".strip() for name in rows.names for start in starts)


def _require_finer(
    rounding: Rounding, length: float, rows: EventRows, settings: EventsSettings
) -> None:
    """Refuse periods within which no time is known."""
    if rounding.coarsest < length:
        return
    such = ""
    if rows.axis.kind == "number":
        such = f", such as --every {10 * rounding.coarsest:g}"
    elif rounding.name.isalpha():
        such = f", such as --every {_LONGER.get(rounding.name, '1d')}"
    raise InputError(
        f"--every {settings.every}: the times in column '{rows.column}' of {rows.source.label} are "
        f"{rounding.words}, and say nothing of when within such a period. Give longer ones{such}."
    )


def _span(
    clock: Clock,
    record: tuple[float, float],
    length: float,
    settings: EventsSettings,
    series: int,
) -> _Span:
    """The whole periods between `--start` and `--stop`, or within the record."""
    first, last = record
    origin = np.floor(first / DAY) * DAY if clock.dated else 0.0
    with np.errstate(all="ignore"):
        start = float(origin + np.floor((first - origin) / length + 1e-9) * length)
    if settings.start is not None:
        start = clock.moment("--start", settings.start)
    stop = last if settings.stop is None else clock.moment("--stop", settings.stop)
    if np.isfinite(start) and stop <= start:
        raise InputError(
            f"The record would end at {clock.label(stop)}, and it begins at {clock.label(start)}. "
            f"Give a later --stop or an earlier --start."
        )
    with np.errstate(all="ignore"):
        count = float(np.floor((stop - start) / length + 1e-9))
    # Not the other way round: a count that is no number is refused as well.
    if not 0 <= count * series <= MOST_SEQUENCES:
        known = 0 <= count < 1e12
        many = f"{count * series:,.0f} sequences, more" if known else "many more sequences"
        raise InputError(
            f"--every {settings.every} makes {many} than {MOST_SEQUENCES:,}. Give a longer one."
        )
    if not count:
        until = "its last event" if settings.stop is None else "--stop"
        raise InputError(
            f"--every {settings.every} is longer than the record, which goes from "
            f"{clock.label(start)} to {until} at {clock.label(stop)}. Give a shorter one, or say "
            f"by --stop that the record goes on."
        )
    return _Span(start, length, int(count), stop)


def _zone_notes(clock: Clock) -> list[str]:
    zone = clock.axis.timezone
    if zone is None:
        return []
    more = "; for those of another zone, give times without an offset" if zone == "UTC" else ""
    return [f"times are taken as clocks in {zone} show them{more}"]


def _span_notes(clock: Clock, span: _Span, first: float, settings: EventsSettings) -> list[str]:
    """Which periods there are, and that the first may not have been watched whole."""
    start, stop, event = map(clock.label, (span.start, span.stop, first))
    notes = [f"{span.amount} periods of {settings.every}, from {start} to {stop}"]
    if settings.start is not None or first <= span.start:
        return notes
    note = f"the first period counts as watched from {start} on, and the first event is at {event}"
    return [*notes, f"{note}: if the record begins later than the period, say so by --start"]


def _left_out(
    clock: Clock, places: Int[np.ndarray, " events"], span: _Span, settings: EventsSettings
) -> list[str]:
    """Which events are in no period."""
    notes, stop = [], clock.label(span.stop)
    before, after = int(np.sum(places < 0)), int(np.sum(places >= span.amount))
    if before:
        notes.append(f"left out: {_events(before)} before {clock.label(span.start)}")
    if after:
        why = "no whole period is left for them"
        mend = "" if settings.stop else "; --stop says until when the record goes"
        notes.append(f"left out: {_events(after)} from {stop} on, as {why}{mend}")
    elif settings.stop is not None and span.until - span.stop > 1e-9 * span.length:
        notes.append(f"left out: the time from {stop} on, which is no whole period")
    return notes


def _series_notes(rows: EventRows) -> list[str]:
    """That several series may have been taken as one record."""
    if not rows.like_series:
        return []
    like = rows.like_series[0]
    return [
        f"all rows are one record; if column '{like}' tells series apart, --series {like} cuts each"
    ]


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
