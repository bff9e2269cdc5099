"""The calendar as an input: where hour, weekday and season stand, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from isocline.data import SeriesTable, TimeAxis
from isocline.errors import InputError

# By name: the period in days, and how many harmonics of it. Three harmonics and a level can give
# each weekday any value, six give each month nearly any.
CALENDAR: dict[str, tuple[float, int]] = {
    "hour": (1.0, 4),
    "weekday": (7.0, 3),
    "month": (365.2425, 6),
    "yearday": (365.2425, 2),
}


@dataclass(frozen=True)
class Calendar:
    """Waves of the calendar, on the clocks of a time zone.

    Attributes:
        names: of `CALENDAR`.
        timezone: of the labels; None where they have none.
    """

    names: tuple[str, ...] = ()
    timezone: str | None = None

    def frequencies(self, horizon: float) -> tuple[float, ...]:
        """Of all waves, in radians per horizon (in days)."""
        return tuple(
            2 * np.pi * order * horizon / CALENDAR[name][0]
            for name in self.names
            for order in range(1, CALENDAR[name][1] + 1)
        )

    def phases(self, times: Any) -> Float[np.ndarray, "times waves"]:
        """Where all waves stand, in radians from 0 to 2 pi; days since 1970 count in UTC."""
        if not self.names:
            return np.empty((len(times), 0))
        turns = _turns(np.asarray(times, np.float64), self.timezone)
        waves = [
            order * turns[name] for name in self.names for order in range(1, CALENDAR[name][1] + 1)
        ]
        waves = np.stack(waves, axis=1)
        return 2 * np.pi * (waves - np.floor(waves))


def _turns(times: np.ndarray, timezone: str | None) -> dict[str, np.ndarray]:
    """How much of the day, week and year has gone by, from 0 to 1."""
    import pandas

    labels = pandas.DatetimeIndex(TimeAxis("datetime").to_label(times))
    if timezone is not None:
        labels = labels.tz_localize("UTC").tz_convert(timezone).tz_localize(None)
    day = np.asarray((labels - labels.normalize()) / pandas.Timedelta(days=1), np.float64)
    year = (labels.day_of_year - 1 + day) / np.where(labels.is_leap_year, 366, 365)
    return {
        "hour": day,
        "weekday": np.asarray(labels.day_of_week + day) / 7,
        "month": np.asarray(year),
        "yearday": np.asarray(year),
    }


def require_dates(names: tuple[str, ...], table: SeriesTable) -> None:
    """InputError where a calendar is asked for and times are plain numbers."""
    if names and table.axis.kind != "datetime":
        raise InputError(
            f"calendar={names!r} needs dates, but the times in column '{table.columns.time}' are "
            f"plain numbers. Write them as dates, or leave calendar out (periods= gives numbers "
            f"their seasons)."
        )
