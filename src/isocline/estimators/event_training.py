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

MOST_AT_A_TIME = 1 << 18  # events, with room for them, of sequences whose bounds are computed
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
        Partial(_validate, len(held), *in_chunks(times[held], there[held])),
    )


def in_chunks(
    times: Float[Array, "sequences events"], there: Bool[Array, "sequences events"]
) -> tuple[Float[Array, "chunks part events"], Bool[Array, "chunks part events"]]:
    """Sequences in parts that are not too large to compute with; empty ones pad the last."""
    count, room = times.shape
    size = min(count, max(MOST_AT_A_TIME // room, 1))
    blank = ((0, -count % size), (0, 0))
    # As no time is there, any will do.
    return (
        jnp.pad(times, blank).reshape(-1, size, room),
        jnp.pad(there, blank).reshape(-1, size, room),
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


def _validate(count: int, times: Array, there: Array, model: LatentODE) -> Array:
    """The negative bound of so many sequences in chunks, on average."""
    bounds = jax.lax.map(
        lambda chunk: weighted_bounds(model, chunk[0], chunk[1], _VALIDATION_DRAWS), (times, there)
    )
    return -jnp.mean(bounds.ravel()[:count])


@eqx.filter_jit
def weighted_bounds(
    model: LatentODE,
    times: Float[Array, "sequences events"],
    there: Bool[Array, "sequences events"],
    draws: int,
    apart: bool = False,
) -> Float[Array, " sequences"]:
    """The importance-weighted bound of each sequence's log density; NaN where the solve fails.

    Args:
        model: of events.
        times, there: of the sequences, padded.
        draws: of the posterior.
        apart: a solve of its own for each sequence, so that it fails for those alone whose own it
            is; otherwise one is shared, and costs less.
    """
    context, target = asked(times, there)
    mean, std = model.encode(context)

    def weight(noise: Array) -> Array:
        z0 = mean + std * noise
        log_rate, expected = _course(model.decode(z0, context.phase, target.times, apart=apart))
        events = jnp.any(target.mask, axis=2)
        likelihood = jnp.sum(jnp.where(events, log_rate, 0), axis=1) - expected[:, -1]
        ratio = jnp.sum(jnp.log(std) + 0.5 * (noise**2 - z0**2), axis=1)
        return likelihood + ratio

    noise = _noise_of_each(times, there, (draws, mean.shape[1]))
    return jax.nn.logsumexp(jax.lax.map(weight, noise), axis=0) - np.log(draws)


def _noise_of_each(
    times: Float[Array, "sequences events"],
    there: Bool[Array, "sequences events"],
    shape: tuple[int, int],
) -> Float[Array, "draws sequences latent"]:
    """Noise that only the events of a sequence decide, and not which others are beside it."""
    bits = jax.lax.bitcast_convert_type(times, jnp.uint32)
    # Sums modulo 2^32: odd factors make them depend on the order of events, and padding adds none.
    factors = 2 * jnp.arange(times.shape[1], dtype=jnp.uint32) + 1
    own = jnp.sum(jnp.where(there, bits * factors, 0), axis=1, dtype=jnp.uint32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), own)
    draw = jax.vmap(lambda key: jax.random.normal(key, shape, times.dtype), out_axes=1)
    return draw(keys)


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
