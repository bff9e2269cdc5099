"""Conformal calibration: intervals as wide as past forecasts show that they must be.

Every forecast whose outcome is known says by what factor its 90% interval would have had to be wider, or
could have been narrower, to end just at what was observed. The factor that nine in ten of them need is
applied to the next forecast (split conformal prediction, with the outcomes growing as time goes on).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from isocline.data import Series
from isocline.evaluation.forecast import Forecast

COVERAGE = 0.9
FEWEST = 20  # outcomes below which the model's own width stands
NARROWEST, WIDEST = 0.5, 5.0


@dataclass(frozen=True)
class Calibration:
    """Outcomes of past forecasts.

    Attributes:
        times: when each was observed.
        ratios: the factor on the width of its 90% interval that would have reached it.
    """

    times: Float[np.ndarray, " outcomes"] = field(default_factory=lambda: np.empty(0))
    ratios: Float[np.ndarray, " outcomes"] = field(default_factory=lambda: np.empty(0))

    def width(self, origin: float = np.inf) -> float:
        """The factor for a forecast from `origin`: only outcomes that were known by then count."""
        known = self.ratios[self.times <= origin]
        if len(known) < FEWEST:
            return 1.0
        level = min(COVERAGE * (1 + 1 / len(known)), 1.0)
        return float(np.clip(np.quantile(known, level, method="higher"), NARROWEST, WIDEST))

    def joined(self, other: Calibration) -> Calibration:
        """The outcomes of both."""
        return Calibration(
            np.concatenate([self.times, other.times]), np.concatenate([self.ratios, other.ratios])
        )


def outcomes(forecasts: Sequence[Forecast], targets: Sequence[Series], after: float = -np.inf) -> Calibration:
    """What targets later than `after` say about forecasts that were not widened."""
    times, ratios = [np.empty(0)], [np.empty(0)]
    for forecast, target in zip(forecasts, targets, strict=True):
        tails = forecast.at(((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)) - forecast.mean[..., None]
        missed = target.values - forecast.mean
        reach = np.where(missed < 0, -tails[..., 0], tails[..., 1])
        seen = np.isfinite(missed) & (target.times > after)[:, None]
        times.append(np.broadcast_to(target.times[:, None], seen.shape)[seen])
        ratios.append((np.abs(missed) / np.maximum(reach, 1e-30))[seen])
    return Calibration(np.concatenate(times), np.concatenate(ratios))


def widened(forecast: Forecast, width: float) -> Forecast:
    """The same forecast with its quantiles moved from the mean by a factor."""
    centre = forecast.mean[..., None]
    return replace(forecast, quantiles=centre + width * (forecast.quantiles - centre))
