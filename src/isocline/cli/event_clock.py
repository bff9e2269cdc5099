"""How the times of a record are counted while it is cut in periods."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from jaxtyping import Float

from isocline.data.cells import is_number, parse_date
from isocline.data.table import TimeAxis
from isocline.data.times import parse_horizon
from isocline.errors import InputError

DAY = 86_400e6  # in microseconds, in which dates are counted here: borders are exact


@dataclass(frozen=True)
class Clock:
    """Dates in microseconds, as the clocks of their time zone show them; numbers as they are.

    Args:
        axis: of the table.
        column: of the times.
    """

    axis: TimeAxis
    column: str

    @property
    def dated(self) -> bool:
        """Whether times are dates."""
        return self.axis.kind == "datetime"

    def times(self, numbers: Float[np.ndarray, " events"]) -> Float[np.ndarray, " events"]:
        """Times of numbers on the axis."""
        if not self.dated:
            return numbers
        stamps = np.rint(numbers * DAY)
        if self.axis.timezone in (None, "UTC"):
            return stamps
        import pandas

        dates = pandas.to_datetime(stamps.astype("datetime64[us]"), utc=True)
        try:
            local = dates.tz_convert(self.axis.timezone)
        except (KeyError, ValueError, OSError):  # of pytz, of zoneinfo, and of its files
            raise InputError(
                f"The times in column '{self.column}' have the time zone '{self.axis.timezone}', "
                f"which is not known here. Convert them to UTC, or to another zone."
            ) from None
        return local.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.float64)

    def length(self, text: str) -> float:
        """How long a period is, of `--every`."""
        unit = re.search(r"[A-Za-z]*$", text.strip())
        if self.dated and unit is not None and re.match(r"M$|mo|[yY]", unit[0]):
            raise InputError(
                f"--every {text}: months and years differ in length, and periods must not. Give "
                f"days, such as --every 28d or --every 365d."
            )
        try:
            length = parse_horizon(text, self.axis) * (DAY if self.dated else 1.0)
        except InputError as error:
            if not self.dated:
                raise InputError(f"--every: {error}") from None
            raise InputError(
                f"--every {text}: times are dates, so it must be a positive number with its unit: "
                f"30min, 12h, 7d or 2w."
            ) from None
        if not np.isfinite(length):
            raise InputError(f"--every {text} is too long. Give a shorter one.")
        return length

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
