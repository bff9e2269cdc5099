"""Scores of forecasts. Targets that are NaN (not observed) never count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from isocline.errors import InputError
from isocline.evaluation.forecast import Forecast


def rmse(mean: np.ndarray, target: np.ndarray) -> float:
    """Root mean squared error of arrays of one shape, in the units of the target."""
    return float(np.sqrt(_mean_of_observed((mean - target) ** 2, target)))


def mae(mean: np.ndarray, target: np.ndarray) -> float:
    """Mean absolute error of arrays of one shape, in the units of the target."""
    return _mean_of_observed(np.abs(mean - target), target)


def coverage(lower: np.ndarray, upper: np.ndarray, target: np.ndarray) -> float:
    """Share of targets with `lower <= target <= upper`, between 0 and 1."""
    with np.errstate(invalid="ignore"):
        return _mean_of_observed(((lower <= target) & (target <= upper)).astype(float), target)


def crps_samples(
    samples: Float[np.ndarray, "samples *cells"],
    target: Float[np.ndarray, "*cells"],
    *,
    fair: bool = True,
) -> float:
    """Mean continuous ranked probability score of samples, in the units of the target.

    `E|X - y| - E|X - X'| / 2`, where the second mean comes from sorted samples.

    Args:
        samples: independent draws from the forecast, along the first axis.
        target: what happened.
        fair: score the distribution that the samples were drawn from, without bias; otherwise the
            empirical distribution of the samples themselves, which is a little worse.

    Raises:
        InputError: shapes do not fit, or fewer than two samples where `fair`.
    """
    count = len(samples)
    if samples.shape[1:] != target.shape or count < 1 + fair:
        raise InputError(
            f"Samples of shape {samples.shape} do not fit targets of shape {target.shape}: at "
            f"least {1 + fair} samples are needed, along a first axis of their own."
        )
    distance = np.abs(samples - target).mean(axis=0)
    # The k-th smallest of n is above k - 1 others and below n - k.
    ranks = 2 * np.arange(1, count + 1) - count - 1
    pairs = np.tensordot(ranks, np.sort(samples, axis=0), axes=1)
    spread = pairs / (count * (count - 1 if fair else count))
    return _mean_of_observed(distance - spread, target)


def crps_gaussian(mean: np.ndarray, std: np.ndarray, target: np.ndarray) -> float:
    """Mean continuous ranked probability score of normal distributions, in closed form.

    Args:
        mean, std: of the forecast; a std of 0 is a forecast that is sure, scored by its error.
        target: what happened, of the same shape.
    """
    from scipy.special import ndtr

    error = np.abs(mean - target)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = error / std
        density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
        scores = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return _mean_of_observed(np.where(np.asarray(std) > 0, scores, error), target)


def crps_quantiles(
    quantiles: Float[np.ndarray, "*cells levels"],
    levels: Float[np.ndarray, "levels"],
    target: Float[np.ndarray, "*cells"],
) -> float:
    """Mean continuous ranked probability score, as twice the integral of the pinball loss.

    The integral over all levels is the trapezoid rule over those given, and nothing at 0 and 1. At
    the 19 levels of a `Forecast` it is 0.4% below the exact score of a calibrated normal forecast
    (their plain mean would be 5% above).
    """
    error = target[..., None] - quantiles
    pinball = np.maximum(levels * error, (levels - 1) * error)
    ends = np.zeros((*target.shape, 1))
    pinball = np.concatenate([ends, pinball, ends], axis=-1)
    integral = np.trapezoid(pinball, np.concatenate([[0.0], levels, [1.0]]), axis=-1)
    return _mean_of_observed(2 * integral, target)


def summarize(
    forecasts: Sequence[Forecast], targets: Sequence[Float[np.ndarray, "_ channels"]]
) -> dict[str, float]:
    """The scores of forecasts, over all their observed cells together.

    Channels of other units are pooled as they are: scale them first, or score them one by one.

    Args:
        forecasts: of any number of series and origins.
        targets: what happened at the times of each forecast, in the same order; NaN = unknown.

    Returns:
        `rmse`, `mae`, `crps` in the units of the targets; `coverage_50` and `coverage_90`, shares
        between 0 and 1 that should be near 0.5 and 0.9.

    Raises:
        InputError: numbers or shapes do not match, or no target was observed.
    """
    if len(forecasts) != len(targets):
        raise InputError(f"There are {len(forecasts)} forecasts but {len(targets)} targets.")
    for forecast, target in zip(forecasts, targets):
        if forecast.mean.shape != np.shape(target):
            raise InputError(
                f"A forecast of shape {forecast.mean.shape} has targets of shape "
                f"{np.shape(target)}."
            )
    if not any(np.isfinite(target).any() for target in targets):
        raise InputError("No target was observed, so there is nothing to score.")
    target = np.concatenate([np.ravel(part) for part in targets])
    mean = np.concatenate([forecast.mean.ravel() for forecast in forecasts])
    levels = forecasts[0].levels
    dense = np.concatenate([one.at(levels).reshape(-1, len(levels)) for one in forecasts])
    bounds = np.concatenate([one.at((0.05, 0.25, 0.75, 0.95)).reshape(-1, 4) for one in forecasts])
    return {
        "rmse": rmse(mean, target),
        "mae": mae(mean, target),
        "crps": crps_quantiles(dense, levels, target),
        "coverage_50": coverage(bounds[:, 1], bounds[:, 2], target),
        "coverage_90": coverage(bounds[:, 0], bounds[:, 3], target),
    }


def _mean_of_observed(scores: np.ndarray | np.floating, target: np.ndarray) -> float:
    observed = ~np.isnan(target)
    return float(np.mean(np.asarray(scores)[observed])) if observed.any() else float("nan")
