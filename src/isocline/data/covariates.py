"""What is known of a series beside its channels: readings, inputs known ahead, what stays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from isocline.errors import InputError


@dataclass(frozen=True, eq=False)
class Covariates:
    """The covariates of one series, in the units of the file.

    Args:
        past: one row a time of the series: readings that nobody has ahead of time. NaN: not read.
        times: strictly increasing, before and after the end of the series: when known inputs are
            given.
        known: one row each of these times: inputs known ahead. NaN: this one is not given then.
        static: what holds for the whole series, one number or text a column.

    Raises:
        InputError: the shapes do not fit, or times are not finite and strictly increasing.
    """

    past: Float[np.ndarray, "rows past"]
    times: Float[np.ndarray, "points"]
    known: Float[np.ndarray, "points known"]
    static: tuple[float | str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("past", "times", "known"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        if self.past.ndim != 2 or self.known.shape[:1] != self.times.shape or self.known.ndim != 2:
            raise InputError(
                f"Covariates have past of shape {self.past.shape}, times of shape "
                f"{self.times.shape} and known of shape {self.known.shape}; they must be "
                f"(rows, past), (points,) and (points, known)."
            )
        if not (np.isfinite(self.times).all() and (np.diff(self.times) > 0).all()):
            raise InputError("The times of known inputs must be finite and increasing.")

    def rows(self, which: slice | np.ndarray) -> Covariates:
        """Those of some rows of the series: readings are cut, what is known ahead stays whole."""
        return replace(self, past=self.past[which])

    @property
    def observed(self) -> Bool[np.ndarray, "rows"]:
        """Which rows hold a reading."""
        return np.isfinite(self.past).any(axis=1)

    def given(self, column: int) -> Float[np.ndarray, "given"]:
        """When a known input is given."""
        return self.times[np.isfinite(self.known[:, column])]

    def at(self, times: Float[np.ndarray, "times"], *, hold: bool) -> Float[np.ndarray, "times n"]:
        """The known inputs at any times.

        Each goes in a straight line from where it is given to where it is given next, or holds its
        value until then. Before the first it is the first, after the last it is the last.
        """
        columns = [self._column(index, times, hold) for index in range(self.known.shape[1])]
        return np.stack(columns, axis=1) if columns else np.empty((len(times), 0))

    def _column(self, index: int, times: np.ndarray, hold: bool) -> np.ndarray:
        points = self.given(index)
        values = self.known[np.isfinite(self.known[:, index]), index]
        if not hold:
            return np.interp(times, points, values)
        return values[np.maximum(np.searchsorted(points, times, side="right") - 1, 0)]

    def continued(
        self, after: float, times: Float[np.ndarray, "points"], known: Float[np.ndarray, "points n"]
    ) -> Covariates:
        """With other known inputs after a time."""
        before, later = self.times <= after, times > after
        return replace(
            self,
            times=np.concatenate([self.times[before], times[later]]),
            known=np.concatenate([self.known[before], known[later]]),
        )
