"""Conformal calibration: intervals as wide as past forecasts show that they must be.

Every forecast whose outcome is known says by what factor its 90% interval would have had to be
wider, or could have been narrower, to end just at what was observed. The factor that nine in ten of
them need is applied to the next forecast (split conformal prediction, with the outcomes growing as
time goes on). The outcomes of one series within one horizon are much alike, so they count as one
case, and the share is taken one standard error on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from isocline.data import Series
from isocline.evaluation.forecast import Forecast

COVERAGE = 0.9
FEWEST = 20  # outcomes below which the model's own width stands
HIGHEST = 0.975  # of the quantile that is taken, however few the cases are
NARROWEST, WIDEST = 0.5, 5.0


@dataclass(frozen=True)
class Calibration:
    """Outcomes of past forecasts.

    Attributes:
        times: when each was observed.
        ratios: the factor on the width of its 90% interval that would have reached it.
        cases: a number for each series and horizon.
    """

    times: Float[np.ndarray, " outcomes"] = field(default_factory=lambda: np.empty(0))
    ratios: Float[np.ndarray, " outcomes"] = field(default_factory=lambda: np.empty(0))
    cases: Int[np.ndarray, " outcomes"] = field(default_factory=lambda: np.empty(0, np.int64))

    def width(self, origin: float = np.inf) -> float:
        """The factor for a forecast from `origin`: only outcomes that were known by then count."""
        known = self.times <= origin
        if np.sum(known) < FEWEST:
            return 1.0
        error = np.sqrt(COVERAGE * (1 - COVERAGE) / len(np.unique(self.cases[known])))
        level = min(COVERAGE + error, HIGHEST)
        return float(
            np.clip(np.quantile(self.ratios[known], level, method="higher"), NARROWEST, WIDEST)
        )

    def joined(self, other: Calibration) -> Calibration:
        """The outcomes of both."""
        return Calibration(
            np.concatenate([self.times, other.times]),
            np.concatenate([self.ratios, other.ratios]),
            np.concatenate([self.cases, other.cases]),
        )


def outcomes(
    forecasts: Sequence[Forecast], targets: Sequence[Series], horizon: float, after: float = -np.inf
) -> Calibration:
    """What targets later than `after` say about forecasts that were not widened."""
    order = {name: index for index, name in enumerate(sorted({target.name for target in targets}))}
    parts = [Calibration()]
    for forecast, target in zip(forecasts, targets, strict=True):
        tails = forecast.at(((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)) - forecast.mean[..., None]
        missed = target.values - forecast.mean
        reach = np.where(missed < 0, -tails[..., 0], tails[..., 1])
        seen = np.isfinite(missed) & (target.times > after)[:, None]
        times = np.broadcast_to(target.times[:, None], seen.shape)[seen]
        cases = np.floor(times / horizon).astype(np.int64) * len(order) + order[target.name]
        parts.append(Calibration(times, (np.abs(missed) / np.maximum(reach, 1e-30))[seen], cases))
    return Calibration(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("times", "ratios", "cases")
        )
    )


def widened(forecast: Forecast, width: float) -> Forecast:
    """The same forecast with its quantiles moved from the mean by a factor."""
    centre = forecast.mean[..., None]
    return replace(forecast, quantiles=centre + width * (forecast.quantiles - centre))
