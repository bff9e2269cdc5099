"""Conformal calibration: intervals as wide as past forecasts show that they must be.

Every forecast whose outcome is known says by what factor its 50 % and its 90 % interval would have
had to be wider, or could have been narrower, to end just at what was observed. The factor that half
of them need, and the one that nine in ten need, are applied to the next forecast; levels in between
have factors in between (split conformal prediction, with the outcomes growing as time goes on). The
outcomes of one series within one horizon are much alike, so they count as one case, and the share
of 90 % is taken half a standard error on the safe side.

Outcomes above and below the median, and those of each channel, have factors of their own, as far as
they are many: each is drawn towards the one of all outcomes. Old outcomes count less than new ones
(Barber et al. 2023): what a model misses changes with the years.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from isocline.data import Series
from isocline.evaluation.forecast import Forecast

INNER, OUTER = 0.5, 0.9  # the levels that have factors
SAFE = {INNER: 0.0, OUTER: 0.5}  # standard errors on the safe side
FEWEST = 20  # outcomes below which the model's own width stands
HIGHEST = 0.95  # of the quantile that is taken, however few the cases are
NARROWEST, WIDEST = 0.5, 5.0
DRAWN = 10  # so many cases weigh as much as what is known of all outcomes
MEMORY = 4.0  # horizons, after which an outcome counts a third of a new one (1 / e)

Factors = Float[np.ndarray, "channels sides levels"]
"""On the distance of a quantile from the median: below and above it, at the two levels."""


def _none(kind: type = float) -> np.ndarray:
    return np.empty(0, kind)


@dataclass(frozen=True)
class Calibration:
    """Outcomes of past forecasts.

    Attributes:
        times: when each was observed.
        ratios: the factor on the width of its 90 % interval that would have reached it.
        cases: a number for each series and horizon.
        inner: the same as the ratios, of its 50 % interval.
        channels: which one it was.
        above: whether it was above the median.
    """

    times: Float[np.ndarray, " outcomes"] = field(default_factory=_none)
    ratios: Float[np.ndarray, " outcomes"] = field(default_factory=_none)
    cases: Int[np.ndarray, " outcomes"] = field(default_factory=lambda: _none(np.int64))
    inner: Float[np.ndarray, " outcomes"] = field(default_factory=_none)
    channels: Int[np.ndarray, " outcomes"] = field(default_factory=lambda: _none(np.int64))
    above: Bool[np.ndarray, " outcomes"] = field(default_factory=lambda: _none(np.bool_))

    @classmethod
    def of_outer(cls, times: np.ndarray, ratios: np.ndarray, cases: np.ndarray) -> Calibration:
        """Outcomes of which only the factor of the 90 % interval was kept."""
        none = np.zeros(len(times), np.int64)
        return cls(times, ratios, cases, ratios, none, none.astype(bool))

    def width(self, origin: float = np.inf) -> float:
        """The factor on the 90 % interval of a forecast from `origin`, over all channels."""
        weights = (self.times <= origin).astype(float)
        return float(self._factors(weights)[1]) if np.sum(weights) >= FEWEST else 1.0

    def factors(self, origin: float, channels: int, memory: float = np.inf) -> Factors:
        """For a forecast from `origin`; an outcome so old counts a third of a new one (1 / e)."""
        found = np.ones((channels, 2, 2))
        known = self.times <= origin
        if np.sum(known) < FEWEST:
            return found
        # From the newest on: long after all of them, what counts is still which are newer.
        age = (np.max(self.times[known]) - self.times) / memory
        weights = np.where(known, np.exp(-np.maximum(age, 0)), 0)
        everything = self._factors(weights)
        for channel in range(channels):
            own = weights * (self.channels == channel) if channels > 1 else weights
            wide = self._drawn(own, everything)
            for side in (0, 1):
                found[channel, side] = self._drawn(own * (self.above == bool(side)), wide)
        return found

    def _drawn(
        self, weights: Float[np.ndarray, " outcomes"], towards: Float[np.ndarray, " levels"]
    ) -> Float[np.ndarray, " levels"]:
        """The factors of the outcomes that have weight, as far as they are many; else those."""
        if np.count_nonzero(weights) < FEWEST:
            return towards
        count = self._count(weights)
        own = np.log(self._factors(weights))
        return np.exp((count * own + DRAWN * np.log(towards)) / (count + DRAWN))

    def _factors(self, weights: Float[np.ndarray, " outcomes"]) -> Float[np.ndarray, " levels"]:
        """What half and nine in ten of the outcomes need, with care where cases are few."""
        found = []
        for share, ratios in ((INNER, self.inner), (OUTER, self.ratios)):
            error = np.sqrt(share * (1 - share) / self._count(weights))
            level = min(share + SAFE[share] * error, HIGHEST)
            order = np.argsort(ratios)
            total = np.cumsum(weights[order])
            place = np.searchsorted(total, level * total[-1])
            found.append(ratios[order][min(place, len(order) - 1)])
        return np.clip(found, NARROWEST, WIDEST)

    def _count(self, weights: Float[np.ndarray, " outcomes"]) -> float:
        """How many cases of equal weight say as much (Kish's effective number)."""
        there = weights > 0
        _, case = np.unique(self.cases[there], return_inverse=True)
        each = np.bincount(case, weights[there]) / np.bincount(case)
        return float(np.sum(each) ** 2 / np.sum(each**2))

    def joined(self, other: Calibration) -> Calibration:
        """The outcomes of both."""
        return _concatenated([self, other])


def _concatenated(parts: Sequence[Calibration]) -> Calibration:
    names = [one.name for one in fields(Calibration)]
    return Calibration(*(np.concatenate([getattr(one, n) for one in parts]) for n in names))


def outcomes(
    forecasts: Sequence[Forecast], targets: Sequence[Series], horizon: float
) -> Calibration:
    """What targets say about forecasts that were not widened."""
    order = {name: index for index, name in enumerate(sorted({target.name for target in targets}))}
    parts = [Calibration()]
    for forecast, target in zip(forecasts, targets, strict=True):
        median = forecast.at((0.5,))[..., 0]
        missed = target.values - median
        above = missed >= 0
        seen = np.isfinite(missed)
        times = np.broadcast_to(target.times[:, None], seen.shape)[seen]
        channels = np.broadcast_to(np.arange(seen.shape[1]), seen.shape)[seen]
        cases = np.floor(times / horizon).astype(np.int64) * len(order) + order[target.name]
        inner, outer = (_ratios(forecast, missed, median, level)[seen] for level in (INNER, OUTER))
        parts.append(Calibration(times, outer, cases, inner, channels, above[seen]))
    return _concatenated(parts)


def _ratios(
    forecast: Forecast, missed: np.ndarray, median: np.ndarray, level: float
) -> Float[np.ndarray, "times channels"]:
    """By what factor an interval would have to be wider to end at what was observed."""
    tails = forecast.at(((1 - level) / 2, (1 + level) / 2)) - median[..., None]
    reach = np.where(missed < 0, -tails[..., 0], tails[..., 1])
    return np.abs(missed) / np.maximum(reach, 1e-30)


def widened(forecast: Forecast, factors: Factors) -> Forecast:
    """The same forecast with its quantiles moved from the median by factors.

    Between the levels a factor is linear in the quantile of a normal, and quantiles stay in order.
    """
    from scipy.special import ndtri

    levels = forecast.levels
    deep = np.abs(ndtri(levels))
    inside, outside = ndtri((1 + INNER) / 2), ndtri((1 + OUTER) / 2)
    part = np.clip((deep - inside) / (outside - inside), 0, 1)
    sided = factors[:, (levels > 0.5).astype(int)]
    factor = sided[..., 0] + part * (sided[..., 1] - sided[..., 0])
    median = forecast.at((0.5,))
    moved = factor * (forecast.quantiles - median)
    # A wide 50 % interval must not end beyond a narrow 90 % one.
    upper = np.maximum.accumulate(np.where(levels >= 0.5, moved, 0), axis=-1)
    lower = np.minimum.accumulate(np.where(levels <= 0.5, moved, 0)[..., ::-1], axis=-1)[..., ::-1]
    return replace(forecast, quantiles=median + np.where(levels > 0.5, upper, lower))
