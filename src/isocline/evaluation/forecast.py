"""What every model hands back: a mean and quantiles at the times that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from isocline.errors import InputError

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
# In twentieths, so that the levels above are among these to the last bit.
DENSE_LEVELS = tuple(twentieth / 20 for twentieth in range(1, 20))


@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast of one series.

    Args:
        times: increasing, on the table's time axis.
        mean: in the units of the channels.
        quantiles: not decreasing along the last axis.
        levels: of the quantiles, increasing, between 0 and 1.

    Raises:
        InputError: the shapes do not fit.
    """

    times: Float[np.ndarray, "times"]
    mean: Float[np.ndarray, "times channels"]
    quantiles: Float[np.ndarray, "times channels levels"]
    levels: Float[np.ndarray, "levels"] = field(default_factory=lambda: np.array(DENSE_LEVELS))

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", np.asarray(self.levels, np.float64))
        expected = (*self.mean.shape, len(self.levels))
        if self.mean.shape[:1] != self.times.shape or self.quantiles.shape != expected:
            raise InputError(
                f"A forecast at {len(self.times)} times has a mean of shape {self.mean.shape} and "
                f"quantiles of shape {self.quantiles.shape}; they must be (times, channels) and "
                f"(times, channels, {len(self.levels)} levels)."
            )

    @classmethod
    def from_samples(
        cls,
        times: Float[np.ndarray, "times"],
        samples: Float[np.ndarray, "samples times channels"],
    ) -> Forecast:
        """The forecast that equally likely samples make."""
        quantiles = np.quantile(samples, DENSE_LEVELS, axis=0)
        return cls(times, samples.mean(axis=0), np.moveaxis(quantiles, 0, -1))

    @classmethod
    def from_gaussian(
        cls,
        times: Float[np.ndarray, "times"],
        mean: Float[np.ndarray, "times channels"],
        std: Float[np.ndarray, "times channels"],
    ) -> Forecast:
        """The forecast whose distribution at every time is normal."""
        from scipy.special import ndtri

        return cls(times, mean, mean[..., None] + std[..., None] * ndtri(np.array(DENSE_LEVELS)))

    def at(
        self, levels: Sequence[float] | np.ndarray
    ) -> Float[np.ndarray, "times channels levels"]:
        """Quantiles at other levels, interpolated; the outermost ones stand for all beyond."""
        levels = np.asarray(levels, np.float64)
        place = np.interp(levels, self.levels, np.arange(len(self.levels)))
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, len(self.levels) - 1)
        part = place - below
        return self.quantiles[..., below] * (1 - part) + self.quantiles[..., above] * part
