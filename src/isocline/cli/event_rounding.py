"""To what times of events are rounded, and rounded times spread over their rounding.

Rounded times are on a lattice. A histogram whose cells fit it may find every second of them empty,
which is no course of a rate. Where each time is spread over what its rounding leaves open, there is
nothing to find.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .event_clock import DAY

# What dates are rounded to, whole: microseconds and names.
_UNITS = (
    (DAY, "days"),
    (DAY / 24, "hours"),
    (DAY / 1440, "minutes"),
    (1e6, "seconds"),
    (1e3, "milliseconds"),
)
_CALENDAR = (("Y", "years"), ("M", "months"))
# What numbers may be whole multiples of: decimals; and hours of days, minutes of hours, ....
_PARTS = (1, 10, 24, 60, 100, 1000, 1440, 3600, 10_000, 86_400, 100_000, 1_000_000)
_OFF = 1e-4  # of such a part, by which a number may miss it
_LARGEST = 2.0**40  # parts, beyond which a number does not tell them
# Numbers that happen to be whole are so one by one in ten, moments whole hours in sixty; those that
# have a common factor have it by one in two. This many can not be by chance.
_ENOUGH, _MANY = 7, 21
_FINE = 1e-6  # of what was watched: no cell and no solve sees it


class Rounding(NamedTuple):
    """What times are rounded to.

    Attributes:
        width: of each time, of its rounding; all alike but for months and years.
        name: "days", "15 minutes", or the width of numbers; empty if they are not rounded.
    """

    width: Float[np.ndarray, " events"]
    name: str

    @property
    def coarsest(self) -> float:
        """The largest width."""
        return float(self.width.max(initial=0))

    @property
    def words(self) -> str:
        """What times are."""
        return f"whole {self.name}" if self.name.isalpha() else f"multiples of {self.name} apart"

    def note(self, around: bool = False) -> list[str]:
        """What is said of times that were spread: from each on, or around it."""
        if not self.name:
            return []
        where = f"the {self.name} {'around it' if around else 'from it on'}"
        over = f"its {self.name[:-1]}" if self.name.isalpha() and not around else where
        return [f"times are {self.words}: each is spread evenly over {over}"]


def rounding_of(
    times: Float[np.ndarray, " events"],
    codes: Int[np.ndarray, " events"],
    length: float,
    dated: bool,
) -> Rounding:
    """What times are rounded to, as far as it shows.

    Args:
        times: of all series; dates in microseconds.
        codes: the series of each. Of one series, times that are the same count once.
        length: what was watched; what is far finer is nothing.
        dated: whether times are dates.
    """
    order = np.lexsort((times, codes))
    moments = np.stack([codes[order], times[order]])
    count = 1 + int(np.any(moments[:, 1:] != moments[:, :-1], axis=0).sum())
    if dated and (found := _calendar(times)) is not None:
        return found
    step, name = _step_of_dates(times, count) if dated else _step_of_numbers(times, count)
    if step < _FINE * length:
        step, name = 0.0, ""
    return Rounding(np.full(len(times), step), name)


def spread(
    times: Float[np.ndarray, " events"], rounding: Rounding, seed: int
) -> Float[np.ndarray, " events"]:
    """Times evenly over what their rounding leaves open: from each on."""
    if not rounding.name:
        return times
    return times + rounding.width * np.random.default_rng([seed, 2]).random(len(times))


def spread_within(
    times: Float[np.ndarray, " events"], rounding: Rounding, end: float, seed: int
) -> tuple[Float[np.ndarray, " events"], bool]:
    """Times from 0 to an end, spread and still there; and whether around each, not from it on.

    Where there is one at the end itself, they were not rounded down.
    """
    if not rounding.name:
        return times, False
    around = bool(times.max() >= end * (1 - 1e-9))
    moved = spread(times - 0.5 * rounding.width * around, rounding, seed)
    # What would leave is turned back at the border, to where its rounding has room.
    return np.clip(end - np.abs(end - np.abs(moved)), 0, end), around


def _calendar(times: Float[np.ndarray, " events"]) -> Rounding | None:
    """Whole years or months, which differ in length; two dates may begin one by chance."""
    stamps = times.astype("datetime64[us]")
    for unit, name in _CALENDAR:
        begun = stamps.astype(f"datetime64[{unit}]")
        if (begun == stamps).all() and len(np.unique(begun)) > 2:
            following = (begun + 1).astype("datetime64[us]")
            return Rounding((following - stamps).astype(np.float64), name)
    return None


def _step_of_dates(times: Float[np.ndarray, " events"], count: int) -> tuple[float, str]:
    """The width, and its name."""
    # From the first on: days of another time zone do not begin at midnight here.
    common = int(np.gcd.reduce((times - times[0]).astype(np.int64)))
    enough = count >= _ENOUGH and common > 0
    unit, name = next(
        (one for one in _UNITS if (enough and common % one[0] == 0) or not np.any(times % one[0])),
        (0.0, ""),
    )
    many = round(common / unit) if unit and enough and count >= _MANY else 1
    return many * unit, name if many == 1 else f"{many} {name}"


def _step_of_numbers(times: Float[np.ndarray, " events"], count: int) -> tuple[float, str]:
    """The width, and its name."""
    if count < _ENOUGH:
        return 0.0, ""
    since = times - times[0]
    for part in _PARTS:
        places = since * part
        if np.abs(places).max() > _LARGEST:
            break
        if np.abs(places - np.rint(places)).max() < _OFF:
            common = np.gcd.reduce(np.rint(places).astype(np.int64)) if count >= _MANY else 1
            return float(common) / part, f"{common / part:.6g}"
    return 0.0, ""
