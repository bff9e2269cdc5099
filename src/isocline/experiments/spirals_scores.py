"""How well the test spirals are forecast, and how well what came before is told."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from isocline.data.spirals import WINDOW, Spirals

from .spirals_tracks import Draws


def scores(
    draws: Draws, data: Spirals, part: np.ndarray, noise: float, seed: int
) -> dict[str, float]:
    """RMSE against the clean continuations; density and coverage of what would have been observed.

    Returns:
        `rmse`; `median_curve`, the RMSE of the median curve; `nll` in nats a value, and
        `coverage_90`, both against the continuations with the noise of the observations.
    """
    clean = data.future[part]
    observed = clean + noise * np.random.default_rng([seed, 2]).standard_normal(clean.shape)
    mean = draws.mean.mean(axis=0)
    by_curve = rmse_of_curves(mean, clean)
    residual = (observed - draws.mean) / draws.std
    density = -0.5 * residual**2 - np.log(draws.std) - 0.5 * np.log(2 * np.pi)
    spread = np.sqrt(draws.mean.var(axis=0) + (draws.std**2).mean(axis=0))
    return {
        "rmse": float(np.sqrt(np.mean(by_curve**2))),
        "median_curve": float(np.median(by_curve)),
        "nll": float(-np.mean(logsumexp(density, axis=0) - np.log(len(draws.mean)))),
        "coverage_90": float(np.mean(np.abs(observed - mean) < 1.6449 * spread)),
    }


def scores_backwards(draws: Draws, data: Spirals, part: np.ndarray) -> dict[str, float]:
    """RMSE against the 100 clean points before the window; of all curves, and of the median one."""
    by_curve = rmse_of_curves(draws.mean.mean(axis=0)[:, :WINDOW], data.past[part])
    return {
        "rmse_backwards": float(np.sqrt(np.mean(by_curve**2))),
        "median_backwards": float(np.median(by_curve)),
    }


def rmse_of_curves(mean: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """The RMSE of each curve over its points and both coordinates."""
    return np.sqrt(((mean - clean) ** 2).mean(axis=(1, 2)))
