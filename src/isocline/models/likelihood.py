"""Likelihoods of masked observations."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from .batch import Prediction, Target


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
