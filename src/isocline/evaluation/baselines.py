"""Forecasts that any model must beat, with predictive distributions as good as their means.

Their quantiles are those of the errors that the same rule made on the training rows, at the same
lead time. So their CRPS and coverage are those of well-made forecasts, not of straw men.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from jaxtyping import Float

from isocline.data.table import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.harmonics import Harmonics, out_of_fold
from isocline.evaluation.residuals import ErrorModel

_FOLDS = 5


class _Rule(ABC):
    """A baseline that carries values of the history on, and is off by more as the lead grows."""

    _errors: ErrorModel | None = None

    def fit(self, table: SeriesTable, horizon: float | None = None) -> Self:
        """Learns how far the rule is off, by rolling over the training rows.

        Args:
            table: rows for training only.
            horizon: the longest lead time to learn about, in units of the time axis; a fifth of the
                table's duration if not given. Beyond it, errors stay as they are there.
        """
        horizon = table.duration / 5 if horizon is None else horizon
        self._errors = ErrorModel.rolling(table, horizon, self._predict)
        return self

    def forecast(self, history: Series, times: Float[np.ndarray, "times"]) -> Forecast:
        """The forecast at times after the history; NaN for a channel that it never observed.

        Raises:
            InputError: not fitted.
        """
        model = _fitted(self._errors, self)
        last, columns = [], []
        for channel in history.values.T:
            observed = ~np.isnan(channel)
            if not observed.any():
                last.append(times[0])
                columns.append(np.full(len(times), np.nan))
                continue
            past = history.times[observed]
            last.append(past[-1])
            columns.append(self._predict(past, channel[observed], times))
        mean = np.stack(columns, axis=-1)
        # Each channel's lead counts from its own last observation, as it did in training.
        errors = np.stack(
            [model.at(history.name, channel, times - start) for channel, start in enumerate(last)],
            axis=1,
        )
        return _around(times, mean, errors)

    @abstractmethod
    def _predict(
        self, times: np.ndarray, values: np.ndarray, later: np.ndarray
    ) -> Float[np.ndarray, "later"]:
        """Values of one channel at later times, from what was observed."""


class Persistence(_Rule):
    """Every channel stays at its last observed value."""

    def _predict(self, times: np.ndarray, values: np.ndarray, later: np.ndarray) -> np.ndarray:
        del times
        return np.full(len(later), values[-1])


class SeasonalNaive(_Rule):
    """Every channel is what it was a period before (or the fewest periods that reach the past).

    Of the observations up to the origin, the one whose time is nearest is taken.

    Args:
        period: in units of the time axis.

    Raises:
        InputError: the period is not positive.
    """

    def __init__(self, period: float) -> None:
        _require_period(period)
        self.period = period

    def _predict(self, times: np.ndarray, values: np.ndarray, later: np.ndarray) -> np.ndarray:
        periods = np.maximum(np.ceil((later - times[-1]) / self.period), 1)
        return values[_nearest(times, later - periods * self.period)]


class Climatology:
    """The mean course of a period: a level and harmonics, fitted to the training rows only.

    Args:
        period: in units of the time axis; None for the mean alone.
        harmonics: at most so many sines; fewer where a series has few rows.

    Raises:
        InputError: the period is not positive.
    """

    def __init__(self, period: float | None = None, harmonics: int = 3) -> None:
        if period is not None:
            _require_period(period)
        self.period = period
        self.harmonics = 0 if period is None else harmonics
        self._errors: ErrorModel | None = None
        self._curves: dict[str, list[Harmonics]] = {}

    def fit(self, table: SeriesTable, horizon: float | None = None) -> Climatology:
        """Fits the course of every series and channel, and its error on rows held out in turn.

        Args:
            table: rows for training only.
            horizon: not used; errors of this forecast do not depend on the lead.
        """
        del horizon
        self._curves, residuals = {}, {}
        for one in table.series:
            self._curves[one.name] = self._fit_channels(one)
            for channel, values in enumerate(one.values.T):
                # Held-out blocks of time: errors of a fit to its own rows would be too small.
                errors = out_of_fold(one.times, values, self.period, self.harmonics, _FOLDS)
                residuals[one.name, channel] = (np.zeros(len(errors)), errors)
        self._errors = ErrorModel.from_residuals(residuals, len(table.channels))
        return self

    def forecast(self, history: Series, times: Float[np.ndarray, "times"]) -> Forecast:
        """The forecast at any times; a series that was not in training is fitted to its history.

        Raises:
            InputError: not fitted.
        """
        model = _fitted(self._errors, self)
        curves = self._curves.get(history.name) or self._fit_channels(history)
        mean = np.stack([curve(times) for curve in curves], axis=-1)
        none = np.zeros(len(times))
        errors = [model.at(history.name, channel, none) for channel in range(mean.shape[1])]
        return _around(times, mean, np.stack(errors, axis=1))

    def _fit_channels(self, one: Series) -> list[Harmonics]:
        return [
            Harmonics.fit(one.times, values, self.period, self.harmonics) for values in one.values.T
        ]


def _around(times: np.ndarray, mean: np.ndarray, errors: np.ndarray) -> Forecast:
    return Forecast(times, mean, mean[..., None] + errors)


def _nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Position of the time nearest to each wanted one; the earlier of two equally near."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    if len(times) == 1:
        return np.zeros(len(wanted), int)
    return np.where(wanted - times[after - 1] <= times[after] - wanted, after - 1, after)


def _require_period(period: float) -> None:
    if not 0 < period < np.inf:
        raise InputError(f"The period must be positive and finite, not {period}.")


def _fitted(errors: ErrorModel | None, baseline: object) -> ErrorModel:
    if errors is None:
        raise InputError(f"{type(baseline).__name__} is not fitted yet: call fit(table) first.")
    return errors
