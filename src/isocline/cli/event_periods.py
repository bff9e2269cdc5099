"""A long record of events, cut in periods of one length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from isocline.data.cells import is_number, parse_date
from isocline.data.table import TimeAxis
from isocline.data.times import parse_horizon
from isocline.errors import InputError

from .event_rows import EventRows, Sequences
from .events_settings import EventsSettings

_DAY = 86_400e6  # in microseconds, in which dates are counted here: borders are exact
# (periods of at least so many microseconds, the unit of their times, its name)
_UNITS = (
    (2 * _DAY, _DAY, "days"),
    (_DAY / 12, _DAY / 24, "hours"),
    (_DAY / 720, _DAY / 1440, "minutes"),
    (0.0, 1e6, "seconds"),
)
# To what dates may be rounded.
_ROUNDINGS = ((_DAY, "days"), (_DAY / 24, "hours"), (_DAY / 1440, "minutes"))
_COARSE = 0.01  # of a period: times that are rounded more are spread over their rounding
_MOST = 200_000  # periods


@dataclass(frozen=True)
class _Clock:
    """How times are counted while they are cut: dates in microseconds, numbers as they are.

    Args:
        axis: of the table.
    """

    axis: TimeAxis

    @property
    def dated(self) -> bool:
        """Whether times are dates."""
        return self.axis.kind == "datetime"

    def times(self, numbers: Float[np.ndarray, " events"]) -> Float[np.ndarray, " events"]:
        """Times of numbers on the axis; dates as the clocks of their time zone showed them."""
        if not self.dated:
            return numbers
        stamps = np.rint(numbers * _DAY)
        if self.axis.timezone in (None, "UTC"):
            return stamps
        import pandas

        dates = pandas.to_datetime(stamps.astype("datetime64[us]"), utc=True)
        local = dates.tz_convert(self.axis.timezone).tz_localize(None)
        return local.to_numpy().astype("datetime64[us]").astype(np.float64)

    def length(self, text: str) -> float:
        """How long a period is, of `--every`."""
        try:
            length = parse_horizon(text, self.axis)
        except InputError as error:
            raise InputError(f"--every: {error}") from None
        unit = re.search(r"[A-Za-z]*$", text.strip())
        if unit is not None and re.match(r"M$|mo|[yY]", unit[0]):
            raise InputError(
                f"--every {text}: months and years differ in length, and periods must not. Give "
                f"days, such as --every 28d or --every 365d."
            )
        return length * _DAY if self.dated else length

    def moment(self, option: str, text: str) -> float:
        """The time that an option names."""
        kind = "a date, such as 2020-01-31 or 2020-01-31T12:30" if self.dated else "a number"
        wrong = InputError(f"{option} {text}: it must be {kind}, as the times of the table are.")
        if not self.dated:
            if not is_number(text) or not np.isfinite(float(text)):
                raise wrong
            return float(text)
        try:
            stamp = parse_date(text.strip())
        except ValueError:
            raise wrong from None
        if stamp.tzinfo is not None:
            if self.axis.timezone is None:
                raise InputError(
                    f"{option} {text}: it has a time zone, and the times of the table have none."
                )
            import pandas

            local = pandas.Timestamp(stamp).tz_convert(self.axis.timezone)
            stamp = local.tz_localize(None).to_pydatetime()
        since = stamp.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        return float(since // timedelta(microseconds=1))

    def label(self, time: float) -> str:
        """A time as people write it."""
        if not self.dated:
            return f"{time:.10g}"
        text = str(np.datetime64(round(time), "us")).removesuffix(".000000")
        return text.removesuffix(":00").removesuffix("T00:00")


class _Span(NamedTuple):
    """So many periods of one length, from a start on."""

    start: float
    length: float
    amount: int

    @property
    def stop(self) -> float:
        """The end of the last one."""
        return self.start + self.amount * self.length


def cut_periods(rows: EventRows, settings: EventsSettings) -> Sequences:
    """The periods of the record, those without an event as well; of each series, if there are any.

    All series are taken as watched over the same time. Periods that were not watched whole are left
    out, and the notes say so.

    Raises:
        InputError: a length or a time that does not fit, or nothing that is left.
    """
    clock = _Clock(rows.axis)
    times, length = clock.times(rows.times), clock.length(str(settings.every))
    rounding, rounded = _rounding(times) if clock.dated else (0.0, "")
    if rounding >= length:
        raise InputError(
            f"--every {settings.every}: the times in column '{rows.column}' of "
            f"{rows.source.label} are whole {rounded}, and say nothing of when within such a "
            f"period. Give longer ones, such as --every {'7d' if rounding == _DAY else '1d'}."
        )
    span = _span(clock, (float(times.min()), float(times.max()) + rounding), length, settings)
    _require_few(span, len(rows.names), settings)
    notes = [*rows.notes, *_zone_notes(clock), *_left_out(clock, times, span, settings)]
    if rounding > _COARSE * length:
        draw = np.random.default_rng([settings.seed, 2])
        times = times + rounding * draw.random(len(times))
        notes.append(f"times are whole {rounded}: each is spread evenly over its {rounded[:-1]}")
    unit, name = (1.0, rows.column)
    if clock.dated:
        unit, name = next((unit, name) for least, unit, name in _UNITS if length >= least)
    names, found = _cut(rows, clock, times, span)
    if not any(len(one) for one in found):
        raise InputError(
            f"No event of {rows.source.label} lies from {clock.label(span.start)} to "
            f"{clock.label(span.stop)}. Give another --start or --stop."
        )
    return Sequences(
        names, [one / unit for one in found], length / unit, name, "period", tuple(notes)
    )


def _cut(
    rows: EventRows, clock: _Clock, times: Float[np.ndarray, " events"], span: _Span
) -> tuple[tuple[str, ...], list[Float[np.ndarray, " events"]]]:
    """The name of each period of each series, and its times since its start."""
    # The allowance keeps three tenths at the start of the third period of a tenth.
    places = np.floor((times - span.start) / span.length + 1e-9).astype(np.int64)
    inside = (places >= 0) & (places < span.amount)
    since = np.clip(times - span.start - places * span.length, 0, span.length)[inside]
    codes = (rows.codes * span.amount + places)[inside]
    order = np.lexsort((since, codes))
    total = len(rows.names) * span.amount
    borders = np.cumsum(np.bincount(codes, minlength=total))[:-1]
    starts = [clock.label(span.start + place * span.length) for place in range(span.amount)]
    names = tuple(f"{name} {start}".strip() for name in rows.names for start in starts)
    return names, np.split(since[order], borders)


def _rounding(times: Float[np.ndarray, " events"]) -> tuple[float, str]:
    """To what all times are rounded, in microseconds; 0 if to nothing coarse."""
    return next((one for one in _ROUNDINGS if not np.any(times % one[0])), (0.0, ""))


def _span(
    clock: _Clock, record: tuple[float, float], length: float, settings: EventsSettings
) -> _Span:
    """The whole periods between `--start` and `--stop`, or within the record."""
    first, last = record
    origin = np.floor(first / _DAY) * _DAY if clock.dated else 0.0
    start = float(origin + np.floor((first - origin) / length + 1e-9) * length)
    if settings.start is not None:
        start = clock.moment("--start", settings.start)
    stop = last if settings.stop is None else clock.moment("--stop", settings.stop)
    if stop <= start:
        raise InputError(
            f"The record would end at {clock.label(stop)}, and it begins at {clock.label(start)}. "
            f"Give a later --stop or an earlier --start."
        )
    count = int(np.floor((stop - start) / length + 1e-9))
    if not count:
        until = "its last event" if settings.stop is None else "--stop"
        raise InputError(
            f"--every {settings.every} is longer than the record, which goes from "
            f"{clock.label(start)} to {until} at {clock.label(stop)}. Give a shorter one, or say "
            f"by --stop that the record goes on."
        )
    return _Span(start, length, count)


def _require_few(span: _Span, series: int, settings: EventsSettings) -> None:
    if span.amount * series > _MOST:
        raise InputError(
            f"--every {settings.every} makes {span.amount * series:,} sequences, more than "
            f"{_MOST:,}. Give a longer one."
        )


def _zone_notes(clock: _Clock) -> list[str]:
    zone = clock.axis.timezone
    return [] if zone is None else [f"times are taken as clocks in {zone} show them"]


def _left_out(
    clock: _Clock, times: Float[np.ndarray, " events"], span: _Span, settings: EventsSettings
) -> list[str]:
    """Which periods there are, and which events are in none."""
    start, stop = clock.label(span.start), clock.label(span.stop)
    notes = [f"{span.amount} periods of {settings.every}, from {start} to {stop}"]
    before = int(np.sum(times < span.start))
    if before:
        notes.append(f"left out: {_events(before)} before {start}")
    after = int(np.sum(times >= span.stop))
    if after:
        why = "no whole period is left for them"
        mend = "" if settings.stop else "; --stop says until when the record goes"
        notes.append(f"left out: {_events(after)} from {stop} on, as {why}{mend}")
    elif settings.stop is not None and clock.moment("--stop", settings.stop) > span.stop:
        notes.append(f"left out: the time from {stop} on, which is no whole period")
    return notes


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"
