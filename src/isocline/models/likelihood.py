"""Likelihoods of masked observations."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, ArrayLike, Float

from .batch import Prediction, Target
from .point_process import poisson_log_likelihood


def gaussian_log_likelihood(prediction: Prediction, target: Target) -> Float[Array, ""]:
    """The log density of all observed values; what was not observed adds nothing."""
    residual = jnp.where(target.mask, target.values - prediction.mean, 0) / prediction.std
    density = -0.5 * residual**2 - jnp.log(prediction.std) - 0.5 * np.log(2 * np.pi)
    return jnp.sum(jnp.where(target.mask, density, 0))


def divergence_from_prior(
    mean: Float[Array, "batch latent"], std: Float[Array, "batch latent"]
) -> Float[Array, ""]:
    """`KL(N(mean, std^2) || N(0, 1))` in nats, of all components of all trajectories together."""
    return jnp.sum(0.5 * (mean**2 + std**2 - 1) - jnp.log(std))


def gaussian_divergence(
    mean: Float[Array, "*shape"],
    std: Float[Array, "*shape"],
    about: Float[Array, "*shape"],
    scale: Float[ArrayLike, ""],
) -> Float[Array, "*shape"]:
    """`KL(N(mean, std^2) || N(about, scale^2))` in nats, of each component."""
    away = (mean - about) / scale
    return 0.5 * (away**2 + (std / scale) ** 2 - 1) - jnp.log(std / scale)


def negative_elbo(
    prediction: Prediction,
    target: Target,
    divergences: dict[str, Float[Array, ""]],
    weight: Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """`-log p(x | z)` and the weighted divergences, per observed value; and its parts.

    Args:
        prediction, target: of a draw from the posterior; when rows are observed counts as well,
            where the prediction has a rate of that.
        divergences: by name, each of all trajectories together.
        weight: of them.
    """
    log_likelihood = gaussian_log_likelihood(prediction, target)
    if prediction.log_rate is not None and prediction.expected is not None:
        events = jnp.any(target.mask, axis=-1)
        log_likelihood += poisson_log_likelihood(prediction.log_rate, prediction.expected, events)
    observed = jnp.maximum(jnp.sum(target.mask), 1)
    loss = (-log_likelihood + weight * sum(divergences.values())) / observed
    parts = {
        "log_likelihood": log_likelihood / observed,
        **{name: value / len(target.times) for name, value in divergences.items()},
        "nfe": jnp.mean(prediction.nfe.astype(jnp.float32)),
    }
    return loss, parts


def moments(
    prediction: Prediction,
) -> tuple[Float[Array, "batch times channels"], Float[Array, "batch times channels"]]:
    """Mean and standard deviation of the mixture of all draws (their leading axis)."""
    mean = jnp.mean(prediction.mean, axis=0)
    variance = jnp.mean(prediction.std**2, axis=0) + jnp.var(prediction.mean, axis=0)
    return mean, jnp.sqrt(variance)


def gaussian_crps(prediction: Prediction, target: Target) -> Float[Array, ""]:
    """Mean CRPS of a normal with the mixture's moments (Gneiting & Raftery 2007, eq. 21)."""
    mean, std = moments(prediction)
    z = (target.values - mean) / std
    density = jnp.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    score = std * (z * (2 * norm.cdf(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return jnp.sum(jnp.where(target.mask, score, 0)) / jnp.maximum(jnp.sum(target.mask), 1)
