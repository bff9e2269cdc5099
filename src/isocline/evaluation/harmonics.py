"""A level and a few sines of one period, fitted by least squares to what was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_ROWS_A_COEFFICIENT = 4
# A trace of shrinkage, so that gaps in the year do not let the sines swing there.
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class Harmonics:
    """`level + sum_k a_k cos(2 pi k t / period) + b_k sin(...)`; call it with times.

    Args:
        period: in units of the times; None where there are no sines.
        coefficients: level, then cosine and sine of each harmonic.
    """

    period: float | None
    coefficients: Float[np.ndarray, "coefficients"]

    @classmethod
    def fit(
        cls, times: np.ndarray, values: np.ndarray, period: float | None, harmonics: int
    ) -> Harmonics:
        """The fit to the values that are not NaN, with as many harmonics as these can carry.

        A series that was never observed gets a level of NaN.
        """
        observed = ~np.isnan(values)
        times, values = times[observed], values[observed]
        if not len(times):
            return cls(period, np.array([np.nan]))
        harmonics = _affordable(times, period, harmonics)
        design = _design(times, period, harmonics)
        level = values.mean()
        penalty = _RIDGE * len(times) * np.eye(design.shape[1])
        penalty[0, 0] = 0.0
        coefficients = np.linalg.solve(design.T @ design + penalty, design.T @ (values - level))
        coefficients[0] += level
        return cls(period, coefficients)

    def __call__(self, times: Float[np.ndarray, "times"]) -> Float[np.ndarray, "times"]:
        return _design(times, self.period, len(self.coefficients) // 2) @ self.coefficients


def out_of_fold(
    times: np.ndarray, values: np.ndarray, period: float | None, harmonics: int, folds: int
) -> Float[np.ndarray, "observed"]:
    """Observed minus fitted, where each block of time is predicted from the other blocks."""
    observed = ~np.isnan(values)
    times, values = times[observed], values[observed]
    if len(times) < 2:
        return np.empty(0)
    errors = np.empty(len(times))
    for block in np.array_split(np.arange(len(times)), min(folds, len(times))):
        kept = np.delete(np.arange(len(times)), block)
        curve = Harmonics.fit(times[kept], values[kept], period, harmonics)
        errors[block] = values[block] - curve(times[block])
    return errors


def _affordable(times: np.ndarray, period: float | None, harmonics: int) -> int:
    # Less than a period of data can not tell the season from the level.
    if period is None or times[-1] - times[0] < period:
        return 0
    return max(0, min(harmonics, (len(times) // _ROWS_A_COEFFICIENT - 1) // 2))


def _design(times: np.ndarray, period: float | None, harmonics: int) -> np.ndarray:
    columns = [np.ones(len(times))]
    for order in range(1, harmonics + 1):
        angle = 2 * np.pi * order * times / (period or np.inf)
        columns += [np.cos(angle), np.sin(angle)]
    return np.stack(columns, axis=-1)
