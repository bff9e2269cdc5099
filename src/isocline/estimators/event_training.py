"""Training a model of events, and what it answers: bounds of densities, rates and counts."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from isocline.models import Context, LatentODE, Prediction, Target, poisson_log_likelihood
from isocline.models.likelihood import divergence_from_prior
from isocline.train import Problem

from .event_sequences import asked

_VALIDATION_DRAWS = 8


def event_problem(
    times: Float[Array, "sequences events"],
    there: Bool[Array, "sequences events"],
    parts: tuple[Int[np.ndarray, " learnt"], Int[np.ndarray, " held"]],
    batch: int,
) -> Problem:
    """What is trained on: the bound of some sequences, chosen by that of others.

    Args:
        times, there: of all sequences, padded.
        parts: which of them are learnt from, and which are held out.
        batch: sequences a step.
    """
    learnt, held = parts
    kept = jnp.asarray(learnt)
    return Problem(
        Partial(_sample, batch, times[kept], there[kept]),
        _loss,
        Partial(_validate, *asked(times[held], there[held])),
    )


def _sample(batch: int, times: Array, there: Array, key: Array) -> tuple[Context, Target]:
    chosen = jax.random.randint(key, (batch,), 0, len(times))
    return asked(times[chosen], there[chosen])


def _loss(
    model: LatentODE, batch: tuple[Context, Target], key: Array, kl_weight: Array
) -> tuple[Array, dict[str, Array]]:
    """The negative bound, per sequence."""
    context, target = batch
    mean, std = model.encode(context)
    z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
    found = model.decode(z0, context.phase, target.times)
    log_likelihood = poisson_log_likelihood(*_course(found), jnp.any(target.mask, axis=2))
    divergence = divergence_from_prior(mean, std)
    loss = (-log_likelihood + kl_weight * divergence) / len(mean)
    return loss, {"kl": divergence / len(mean), "nfe": jnp.mean(1.0 * found.nfe)}


def _validate(context: Context, target: Target, model: LatentODE) -> Array:
    return -jnp.mean(weighted_bounds(model, context, target, _VALIDATION_DRAWS))


@eqx.filter_jit
def weighted_bounds(
    model: LatentODE, context: Context, target: Target, draws: int
) -> Float[Array, " sequences"]:
    """The importance-weighted bound of each sequence's log density."""
    mean, std = model.encode(context)
    events = jnp.any(target.mask, axis=2)

    def weight(noise: Array) -> Array:
        z0 = mean + std * noise
        log_rate, expected = _course(model.decode(z0, context.phase, target.times))
        likelihood = jnp.sum(jnp.where(events, log_rate, 0), axis=1) - expected[:, -1]
        ratio = jnp.sum(jnp.log(std) + 0.5 * (noise**2 - z0**2), axis=1)
        return likelihood + ratio

    noise = jax.random.normal(jax.random.key(0), (draws, *mean.shape), mean.dtype)
    return jax.nn.logsumexp(jax.lax.map(weight, noise), axis=0) - np.log(draws)


@eqx.filter_jit
def drawn_courses(
    model: LatentODE,
    events: Float[Array, "1 events"],
    there: Bool[Array, "1 events"],
    times: Float[Array, "1 times"],
    unknown: bool,
    draws: int,
) -> tuple[Float[Array, "draws times"], Float[Array, "draws times"]]:
    """Rates and expected numbers by draws of the posterior, or of the prior."""
    context, _ = asked(events, there)
    mean, std = model.encode(context)
    if unknown:
        mean, std = jnp.zeros_like(mean), jnp.ones_like(std)
    noise = jax.random.normal(jax.random.key(1), (draws, *mean.shape), mean.dtype)
    log_rate, expected = jax.lax.map(
        lambda draw: _course(model.decode(mean + std * draw, context.phase, times)), noise
    )
    return jnp.exp(log_rate[:, 0]), expected[:, 0]


def _course(found: Prediction) -> tuple[Array, Array]:
    """The logarithm of the rate and the expected number."""
    if found.log_rate is None or found.expected is None:
        raise TypeError("a model without an intensity")
    return found.log_rate, found.expected
