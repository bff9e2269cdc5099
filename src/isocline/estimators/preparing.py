"""What a model sees of observations: each series less its season, by its own spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from isocline.data import Series, SeriesTable

from .seasonality import COARSE, distinguishable, harmonics_shown
from .transforms import Transform, forward

if TYPE_CHECKING:
    from .covariates import CovariateScaling

RIDGE = 0.5  # in rows: how strongly a season is pulled to zero
ROWS_A_COEFFICIENT = 4
FOLDS = 5


@dataclass(frozen=True)
class SeriesScale:
    """Level, season and spread of each channel of one series, from its training rows.

    Attributes:
        coefficients: level, then cosine and sine of every harmonic of every period.
        spread: standard deviation of what is left.
        doubt: a Cholesky factor of the covariance of the coefficients, in units of the spread.
    """

    coefficients: Float[np.ndarray, "coefficients channels"]
    spread: Float[np.ndarray, " channels"]
    doubt: Float[np.ndarray, "channels coefficients coefficients"]


@dataclass(frozen=True)
class Scaling:
    """The scales of all series, by name, and what they share.

    Attributes:
        periods: of the seasons, in units of the time axis.
        harmonics: of each period, at most.
        horizon: the unit of model time.
        scales: one a series.
        transforms: of each channel, before all else; none if empty.
        covariates: how they are seen, if there are any.
    """

    periods: tuple[float, ...]
    harmonics: int
    horizon: float
    scales: dict[str, SeriesScale]
    transforms: tuple[Transform, ...] = ()
    covariates: CovariateScaling | None = None

    def fitted(self, table: SeriesTable) -> Scaling:
        """The same with the scales of every series of a table of training rows.

        A series that had a scale keeps the seasons that were found for it, as a model was trained
        with them taken off; seasons that its rows were too few to show may be found now.
        """
        return replace(self, scales={one.name: self._fit(one) for one in table.series})

    def anew(self, table: SeriesTable) -> Scaling:
        """The same fitted to these rows alone, whatever seasons later rows have shown."""
        return replace(self, scales={}).fitted(table)

    def scale_of(self, series: Series) -> SeriesScale:
        """The scale of a series: the fitted one, or for a new series a fit to its rows."""
        return self.scales[series.name] if series.name in self.scales else self._fit(series)

    def _fit(self, series: Series) -> SeriesScale:
        before = self.scales.get(series.name)
        size = 1 + 2 * self.harmonics * len(self.periods)
        found = np.zeros((size, series.values.shape[1])) if before is None else before.coefficients
        columns = zip(self.forward(series.values).T, found.T != 0, strict=True)
        fits = [self._fit_channel(series.times, column, before) for column, before in columns]
        coefficients, spread, doubt = zip(*fits, strict=True)
        return SeriesScale(np.stack(coefficients, axis=1), np.array(spread), np.stack(doubt))

    def _fit_channel(
        self, times: np.ndarray, values: np.ndarray, found: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Coefficients, spread and doubt; of the seasons that were found before, or show now."""
        seen = np.isfinite(values)
        times, values = times[seen], values[seen]
        size = 1 + 2 * self.harmonics * len(self.periods)
        if not len(values):
            return np.zeros(size), 1.0, np.zeros((size, size))
        design = self.design(times)
        kept = self._shown(times, values, design, found)
        design = design * kept
        level = values.mean()
        inverse = np.linalg.inv(design.T @ design + np.diag([1e-9] + [RIDGE] * (size - 1)))
        coefficients = inverse @ design.T @ (values - level)
        left = values - level - design @ coefficients
        freedom = max(len(left) - np.trace(inverse @ design.T @ design), 1.0)
        spread = float(np.sqrt(np.sum(left**2) / freedom))
        if spread <= 1e-6 * max(abs(level), 1.0):
            spread = max(float(values.std()), 1.0)
        coefficients[0] += level
        doubt = self._inflation(times, values - level, spread, kept)
        factor = np.linalg.cholesky(inverse * doubt) * kept[:, None]
        return coefficients, spread, factor

    def _inflation(
        self, times: np.ndarray, values: np.ndarray, spread: float, shown: np.ndarray
    ) -> float:
        """How much worse left-out blocks of time are met than independent errors explain."""
        if len(values) < 2 * FOLDS:
            return 1.0
        missed, leverage = [], []
        for block in np.array_split(np.arange(len(values)), FOLDS):
            rest = np.delete(np.arange(len(values)), block)
            kept = self._first(self.harmonics * self._carried(times[rest])) & shown
            design = self.design(times) * kept
            inverse = np.linalg.inv(
                design[rest].T @ design[rest] + np.diag([1e-9] + [RIDGE] * (len(kept) - 1))
            )
            guess = design[block] @ (inverse @ (design[rest].T @ values[rest]))
            missed.append(np.mean((values[block] - guess) ** 2))
            leverage.append(np.mean(np.sum(design[block] @ inverse * design[block], axis=1)))
        excess = np.mean(missed) / max(spread**2, 1e-30) - 1
        return float(np.clip(excess / np.mean(leverage), 1.0, 25.0))

    def affordable(self, times: np.ndarray) -> list[int]:
        """The harmonics of each period that rows can carry: of seasons that they span."""
        most = min((len(times) // ROWS_A_COEFFICIENT - 1) // 2, self.harmonics)
        seasons = zip(self.periods, self._carried(times), strict=True)
        return [
            min(most, distinguishable(times, period)) if carried else 0
            for period, carried in seasons
        ]

    def _carried(self, times: np.ndarray) -> np.ndarray:
        """Which seasons rows span, in sufficient number for a few harmonics."""
        span = times[-1] - times[0] if len(times) else 0.0
        fewest = ROWS_A_COEFFICIENT * (1 + 2 * min(COARSE, self.harmonics))
        return (span >= np.array(self.periods)) & (len(times) >= fewest)

    def _shown(
        self, times: np.ndarray, values: np.ndarray, design: np.ndarray, found: np.ndarray
    ) -> np.ndarray:
        """Which coefficients belong to seasons that were found before, or that the rows show."""
        counts = []
        seasons = zip(self.waves(design), self.waves(found[None]), self.affordable(times))
        for (waves, before, most), period in zip(seasons, self.periods, strict=True):
            if most and before.any():
                counts.append(np.flatnonzero(before)[-1] // 2 + 1)
            elif most:
                counts.append(harmonics_shown(times, values, waves[:, : 2 * most], period, RIDGE))
            else:
                counts.append(0)
        return self._first(counts)

    def _first(self, counts: Iterable[int]) -> np.ndarray:
        """Which coefficients belong to so many harmonics of each period, and the level."""
        orders = np.repeat(np.arange(self.harmonics), 2)
        return np.concatenate([[True], *(orders < count for count in counts)])

    def waves(self, design: np.ndarray) -> list[np.ndarray]:
        """The columns of each period."""
        size = 2 * self.harmonics
        return [design[:, 1 + k * size : 1 + (k + 1) * size] for k in range(len(self.periods))]

    def design(self, times: np.ndarray) -> Float[np.ndarray, "times coefficients"]:
        """A column of ones, then cosine and sine of every harmonic of every period."""
        columns = [np.ones_like(times)]
        for period in self.periods:
            for order in range(1, self.harmonics + 1):
                angle = 2 * np.pi * order * times / period
                columns += [np.cos(angle), np.sin(angle)]
        return np.stack(columns, axis=1)

    def season(self, scale: SeriesScale, times: np.ndarray) -> Float[np.ndarray, "times channels"]:
        """Level and season at these times, in the units of the file, or of its logarithm."""
        return self.design(np.asarray(times, np.float64)) @ scale.coefficients

    def scaled(
        self, series: Series, scale: SeriesScale | None = None
    ) -> Float[np.ndarray, "times channels"]:
        """The anomalies of a series, in units of its spread; NaN stays.

        Args:
            scale: of the whole series, where these are some rows of it.
        """
        scale = scale or self.scale_of(series)
        return (self.forward(series.values) - self.season(scale, series.times)) / scale.spread

    def anomalies(self, series: Series, scale: SeriesScale | None = None) -> Series:
        """The same as a series."""
        return series.rows(slice(None), self.scaled(series, scale))

    def forward(self, values: Float[np.ndarray, "times channels"]) -> np.ndarray:
        """The transformed values of every channel."""
        return forward(self.transforms, values)

    def inverse(self, seen: Float[np.ndarray, "*more channels"]) -> np.ndarray:
        """Values of every channel in the units of the file, from transformed ones."""
        if not self.transforms:
            return seen
        columns = np.moveaxis(seen, -1, 0)
        return np.stack([one.inverse(c) for one, c in zip(self.transforms, columns)], axis=-1)

    def phases(self, times: Any) -> Float[np.ndarray, "times periods"]:
        """Where each season stands, in radians from 0 to 2 pi."""
        turns = np.asarray(times, np.float64)[..., None] / np.array(self.periods, np.float64)
        return 2 * np.pi * (turns - np.floor(turns))

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Of the seasons, in radians per unit of model time."""
        return tuple(2 * np.pi * self.horizon / period for period in self.periods)
