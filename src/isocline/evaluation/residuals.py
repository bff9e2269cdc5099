"""How far a baseline was off on its training rows, by lead time: its predictive distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from isocline.data.table import SeriesTable
from isocline.evaluation.forecast import DENSE_LEVELS

_MOST_ORIGINS = 200
_MOST_BINS = 12
_FEWEST_IN_BIN = 25
# Fewer residuals than these say less about a series than those of all series together.
_FEWEST_OF_SERIES = 100

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(times, values of one channel, later times) -> values there."""


@dataclass(frozen=True, eq=False)
class ErrorsByLead:
    """Quantiles of residuals at a few lead times, linear in between and constant beyond.

    Args:
        leads: increasing, in units of the time axis.
        quantiles: of observed minus predicted, at `DENSE_LEVELS`.
    """

    leads: Float[np.ndarray, "leads"]
    quantiles: Float[np.ndarray, "leads levels"]

    @classmethod
    def estimate(cls, leads: np.ndarray, residuals: np.ndarray) -> ErrorsByLead:
        """Quantiles in bins with equal numbers of residuals."""
        order = np.argsort(leads, kind="stable")
        bins = int(np.clip(len(order) // _FEWEST_IN_BIN, 1, _MOST_BINS))
        parts = np.array_split(order, bins)
        centres = np.array([np.mean(leads[part]) for part in parts])
        quantiles = np.array([np.quantile(residuals[part], DENSE_LEVELS) for part in parts])
        # On a regular grid several bins can have one lead: the mean of them is its distribution.
        unique, inverse = np.unique(centres, return_inverse=True)
        means = [quantiles[inverse == place].mean(axis=0) for place in range(len(unique))]
        return cls(unique, np.array(means))

    def at(self, leads: Float[np.ndarray, "times"]) -> Float[np.ndarray, "times levels"]:
        """Quantiles of the residual at these lead times."""
        columns = [np.interp(leads, self.leads, column) for column in self.quantiles.T]
        return np.stack(columns, axis=-1)


@dataclass(frozen=True, eq=False)
class ErrorModel:
    """Errors by lead of each channel, of each series where it is long enough, else of all."""

    of_series: dict[tuple[str, int], ErrorsByLead]
    of_all: tuple[ErrorsByLead, ...]

    @classmethod
    def rolling(cls, table: SeriesTable, horizon: float, predict: Predict) -> ErrorModel:
        """Rolls over the table: forecasts from up to 200 rows of each series, up to `horizon`."""
        found = {
            (one.name, channel): _roll(one.times, one.values[:, channel], horizon, predict)
            for one in table.series
            for channel in range(len(table.channels))
        }
        return cls.from_residuals(found, len(table.channels))

    @classmethod
    def from_residuals(
        cls, found: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]], channels: int
    ) -> ErrorModel:
        """From (leads, residuals) of each series' name and channel."""
        of_series = {
            key: ErrorsByLead.estimate(*pair)
            for key, pair in found.items()
            if len(pair[0]) >= _FEWEST_OF_SERIES
        }
        return cls(of_series, tuple(_pooled(found, channel) for channel in range(channels)))

    def at(
        self, name: str, channel: int, leads: Float[np.ndarray, "times"]
    ) -> Float[np.ndarray, "times levels"]:
        """Quantiles of the residuals of a channel of a series at these lead times."""
        return self.of_series.get((name, channel), self.of_all[channel]).at(leads)


def _pooled(found: dict, channel: int) -> ErrorsByLead:
    pairs = [pair for (_, place), pair in found.items() if place == channel]
    leads, residuals = (np.concatenate(part) for part in zip(*pairs))
    if not len(leads):
        # Nothing to learn from: say so by a distribution without width.
        return ErrorsByLead(np.zeros(1), np.zeros((1, len(DENSE_LEVELS))))
    return ErrorsByLead.estimate(leads, residuals)


def _roll(
    times: np.ndarray, values: np.ndarray, horizon: float, predict: Predict
) -> tuple[np.ndarray, np.ndarray]:
    observed = ~np.isnan(values)
    times, values = times[observed], values[observed]
    leads, residuals = [np.empty(0)], [np.empty(0)]
    if len(times) >= 2:
        # Not from the very start, where no forecast has the history that real ones have.
        first = min(len(times) // 4, len(times) - 2)
        origins = np.unique(np.linspace(first, len(times) - 2, _MOST_ORIGINS).astype(int))
        for origin in origins:
            end = np.searchsorted(times, times[origin] + horizon, side="right")
            later = slice(origin + 1, end)
            past = slice(0, origin + 1)
            leads.append(times[later] - times[origin])
            residuals.append(values[later] - predict(times[past], values[past], times[later]))
    return np.concatenate(leads), np.concatenate(residuals)
