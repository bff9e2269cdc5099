"""Multiple shooting: a long trajectory is learnt as short ones that have to meet.

Bock's idea for the fitting of ODEs (Bock 1981), made Bayesian and amortized as by Iakovlev et al.
(2023, arXiv 2210.03466): the times asked are cut into segments, and each is solved from a state of
its own. A prior of continuity ties that state to where the segment before has ended. No gradient
passes through more than one segment, so that it neither vanishes nor explodes with the horizon.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import Surroundings
from isocline.nn.fields import seasons_at

from .batch import Context, Prediction, Target
from .exogenous import Exogenous, Widths
from .likelihood import divergence_from_prior, gaussian_divergence, negative_elbo

if TYPE_CHECKING:
    from .latent_ode import LatentODE

TIE = 0.1  # standard deviation of the prior of continuity, where the prior of z0 has 1
SHORTEST = 1e-3  # a solve on a grid needs some length

Posterior = tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]


class Shooting(eqx.Module):
    """The posterior of the states that segments begin from, all but the first.

    Only training needs it: forecasts are one solve from the state that the context gives.

    Args:
        channels, latent_size, hidden_size: as of the model.
        segments: of equally many of the times asked; each begins at its first, and one at 0.
        told: entries beside the observations: the seasons' and those of covariates.
        tie: standard deviation of a state about the end of the segment before.
    """

    surroundings: Surroundings
    posterior: eqx.nn.Linear
    segments: int = eqx.field(static=True)
    tie: float = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        latent_size: int,
        hidden_size: int,
        segments: int,
        told: int = 0,
        *,
        key: PRNGKeyArray,
        tie: float = TIE,
    ):
        first, second = jax.random.split(key)
        self.segments, self.tie = segments, tie
        self.surroundings = Surroundings(channels, hidden_size, key=first)
        self.posterior = eqx.nn.Linear(hidden_size + told, 2 * latent_size, key=second)

    def states(
        self,
        model: LatentODE,
        context: Context,
        target: Target,
        at: Float[Array, "batch points"],
    ) -> tuple[Float[Array, "batch points latent"], Float[Array, "batch points latent"]]:
        """Mean and standard deviation of q(z) at times of each trajectory, from both sides."""
        told = [
            features_at(self.surroundings, model, context, target, at),
            jax.vmap(seasons_at, (0, None, 0))(
                at, jnp.asarray(model.frequencies, at.dtype), context.phase
            ),
        ]
        if context.exogenous is not None:
            told.append(context.exogenous.drive.along(at, model.covariates))
        output = jax.vmap(jax.vmap(self.posterior))(jnp.concatenate(told, axis=2))
        mean, raw = jnp.split(output, 2, axis=2)
        return mean, jax.nn.softplus(raw - 1.0) + 1e-4


def features_at(
    surroundings: Surroundings,
    model: LatentODE,
    context: Context,
    target: Target,
    at: Float[Array, "batch points"],
) -> Float[Array, "batch points features"]:
    """What was observed around times of each trajectory, in its context and in what is asked.

    Of an anchored model without the level: the latent state says only what is beside it.
    """
    times = jnp.concatenate([context.times, target.times], axis=1)
    values = jnp.concatenate([context.values, target.values], axis=1)
    mask = jnp.concatenate([context.mask, target.mask], axis=1)
    if model.level is not None:
        level = jax.vmap(model.level)
        values -= level(context.times, context.values, context.mask, jnp.maximum(times, 0))

    def one(times: Array, values: Array, mask: Array, points: Array) -> Array:
        return jax.vmap(lambda point: surroundings(times, values, mask, point))(points)

    return jax.vmap(one)(times, values, mask, at)


def shooting_bound(
    model: LatentODE,
    drawn: tuple[Posterior, Float[Array, "batch latent"]],
    context: Context,
    target: Target,
    key: PRNGKeyArray,
    kl_weight: Float[Array, ""],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The negative ELBO per observed value, with segments that are solved on their own; its parts.

    `-E log p(x | z) + kl_weight * (KL(q(z0) || N(0, 1)) + sum_k KL(q(z_k) || N(e_k, tie^2)))`,
    where e_k is the end of the segment before; Iakovlev et al. (2023). The states z_k are
    independent given the observations, and z0 is that of forecasts: the context alone tells it.

    Args:
        model: with `shooting`.
        drawn: q(z0) by mean and standard deviation, and a draw from it.

    Returns:
        The bound; "gap" among its parts is the divergence of the states from continuity.
    """
    shooting, (posterior, z0) = cast(Shooting, model.shooting), drawn
    rows, starts = cut(target.times, shooting.segments)
    mean, std = shooting.states(model, context, target, starts[:, 1:])
    others = mean + std * jax.random.normal(jax.random.fold_in(key, 1), mean.shape, mean.dtype)
    states = jnp.concatenate([z0[:, None], others], axis=1)
    z, ends, counts, nfe = by_segments(model, states, (rows, starts), context)
    z, asked = z[:, : target.times.shape[1]], target.times
    apart = gaussian_divergence(mean, std, ends[:, :-1], shooting.tie)
    # Padding makes segments that hold nothing, and so have nothing to tie.
    blank = rows.size // len(rows) - asked.shape[1]
    seen = jnp.pad(jnp.any(target.mask, axis=2), ((0, 0), (0, blank))).reshape(rows.shape)
    holds = jnp.any(seen, axis=2) | (starts < asked[:, -1:])
    gap = jnp.sum(jnp.where(holds[:, 1:, None], apart, 0))
    log_rate = None if model.intensity is None else jax.vmap(jax.vmap(model.intensity))(z)
    expected = None if counts is None else counts[:, : asked.shape[1]]
    emitted = model.emit(z, asked, context.exogenous)
    prediction = Prediction(*emitted, z, nfe, log_rate, expected)
    prediction = model.anchored(prediction, context, asked)
    divergences = {"kl": divergence_from_prior(*posterior), "gap": gap}
    return negative_elbo(prediction, target, divergences, kl_weight)


def cut(
    times: Float[Array, "batch times"], segments: int
) -> tuple[Float[Array, "batch segments rows"], Float[Array, "batch segments"]]:
    """The times by segments of equally many, padded by the last; and where each begins.

    A segment begins at its first time; the first one at 0.
    """
    rows = -(-times.shape[1] // segments)
    padded = jnp.pad(times, ((0, 0), (0, rows * segments - times.shape[1])), mode="edge")
    parts = padded.reshape(len(times), segments, rows)
    return parts, parts[:, :, 0].at[:, 0].set(0)


def by_segments(
    model: LatentODE,
    states: Float[Array, "batch segments latent"],
    parts: tuple[Float[Array, "batch segments rows"], Float[Array, "batch segments"]],
    context: Context,
) -> tuple[
    Float[Array, "batch times latent"], Float[Array, "batch segments latent"], Array | None, Array
]:
    """Latent states at the times, and where segments end, from a solve of each.

    Args:
        states: that they begin from.
        parts: their times and starts, as `cut` has them.
        context: seasons and covariates.

    Returns:
        States at all times, and at the ends; expected numbers of events, if that is modelled; NFE.
    """
    times, starts = parts
    batch, segments, rows = times.shape
    ends = jnp.concatenate([starts[:, 1:], times[:, -1, -1:]], axis=1)
    asked = jnp.concatenate([times, ends[:, :, None]], axis=2) - starts[:, :, None]
    phase = context.phase[:, None] + starts[:, :, None] * jnp.asarray(
        model.frequencies, starts.dtype
    )
    exogenous = context.exogenous
    if exogenous is not None:
        exogenous = _covariates_of(exogenous, starts, ends, model.covariates)
    z0, phase, asked = (part.reshape(batch * segments, -1) for part in (states, phase, asked))
    z, counts, nfe = model.path(z0, phase, asked, exogenous, apart=True)
    z = z.reshape(batch, segments, rows + 1, -1)
    if counts is not None:
        counts = counts.reshape(batch, segments, rows + 1)
        before = jnp.cumsum(counts[:, :, -1:], axis=1) - counts[:, :, -1:]
        counts = (counts[:, :, :-1] + before).reshape(batch, -1)
    nfe = jnp.sum(nfe.reshape(batch, segments), axis=1)
    return z[:, :, :-1].reshape(batch, segments * rows, -1), z[:, :, -1], counts, nfe


def _covariates_of(
    exogenous: Exogenous,
    starts: Float[Array, "batch segments"],
    ends: Float[Array, "batch segments"],
    widths: Widths,
) -> Exogenous:
    """Covariates of each segment, its time counted from its start.

    Steps are as short as before, where no segment is more than twice as long as the mean.
    """
    segments = starts.shape[1]
    each: Any = jax.tree.map(lambda leaf: jnp.repeat(leaf, segments, axis=0), exogenous)
    grid = each.grid
    if grid is not None:
        steps = min(math.ceil(2 * (grid.shape[1] - 1) / segments), grid.shape[1] - 1)
        whole = jnp.maximum((ends - starts).reshape(-1, 1), SHORTEST)
        grid = whole * jnp.linspace(0.0, 1.0, steps + 1, dtype=whole.dtype)
    return Exogenous(each.values, each.mask, each.drive.since(starts.ravel(), widths), grid)
