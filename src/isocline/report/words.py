"""Numbers, spans of time and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from numbers import Real
from typing import Any
from zoneinfo import ZoneInfo

from isocline.data import SeriesTable, TimeAxis

MISSING = "–"
LABELS = {
    "model": "Latent ODE, pooled",
    "persistence": "Persistence",
    "seasonal_naive": "Seasonal naive",
    "climatology": "Climatology",
    "linear": "Linear regression",
    "gru": "GRU with time differences",
}
_LONGEST_NAME = 160
# (at least so many days, days in a unit, its name)
_SPANS = (
    (730.0, 365.2425, "years"),
    (2.0, 1.0, "days"),
    (2 / 24, 1 / 24, "hours"),
    (2 / 1440, 1 / 1440, "minutes"),
    (-math.inf, 1 / 86_400, "seconds"),
)


def finite(value: Any) -> bool:
    """Whether it is a number to show."""
    return isinstance(value, Real) and math.isfinite(value)


def number(value: Any, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where that is readable."""
    if not finite(value):
        return MISSING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size <= 7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{value:,.{max(0, digits - 1 - size)}f}".replace("-", "−")


def percent(share: Any, digits: int = 0) -> str:
    """A share between 0 and 1."""
    if not finite(share):
        return MISSING
    if digits == 0 and 0 < abs(share) < 0.1:
        digits = 1
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%".replace("-", "−")


def signed(share: Any) -> str:
    """A relative change."""
    if not finite(share):
        return MISSING
    return ("+" if share >= 0.0005 else "") + percent(share if abs(share) >= 0.0005 else 0.0, 1)


def name_of(series: str) -> str:
    """The name of a series, cut where it would fill the page."""
    text = " ".join(str(series).split()) or "the series"
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def label_of(method: str) -> str:
    """The name of a model or baseline."""
    return LABELS.get(method, method.replace("_", " "))


def count(amount: int, one: str, many: str | None = None) -> str:
    """A number of things: 1 row, 2 rows."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(parts: Sequence[str]) -> str:
    """A list in a sentence: a; a and b; a, b and c."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def span(table: SeriesTable, length: Any) -> str:
    """A length of time, in words."""
    if not finite(length):
        return MISSING
    if table.axis.kind == "number":
        return f"{_short(number(length))} ({unit_of(table)})"
    unit, name = next((unit, name) for least, unit, name in _SPANS if length >= least)
    amount = length / unit
    text = f"{amount:.0f}" if amount >= 100 else _short(f"{amount:.1f}")
    return f"{text} {name[:-1] if text == '1' else name}"


def _short(text: str) -> str:
    """A decimal number without zeros at its end."""
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def unit_of(table: SeriesTable) -> str:
    """What the numbers of the time axis count: days, or whatever a column of numbers counts."""
    return table.axis.unit or name_of(table.columns.time)


def moment(table: SeriesTable, time: Any) -> str:
    """A point in time as the file writes it: a date without its hour where that is midnight."""
    if not finite(time):
        return MISSING
    if table.axis.kind == "number":
        return f"{time:.6g}".replace("-", "−")
    text = _clock(time, zone(table.axis)).replace("T", " ")
    return text.removesuffix(":00").removesuffix(" 00:00")


def _clock(days: float, where: tzinfo) -> str:
    try:
        since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=round(days * 86_400))
        return since.astimezone(where).replace(tzinfo=None).isoformat()
    except OverflowError:  # before the year 1 or after 9999
        return f"day {days:.6g}"


def zone(axis: TimeAxis) -> tzinfo:
    """The time zone in which times are shown: UTC where none is named, or that is not known."""
    try:
        return ZoneInfo(axis.timezone) if axis.timezone else UTC
    except (ValueError, OSError, KeyError):
        return UTC


def seconds(length: Any) -> str:
    """How long something took."""
    if not finite(length):
        return MISSING
    if length < 100:
        return f"{number(length, 2)} s"
    return f"{int(length // 60)} min {int(length % 60)} s"
