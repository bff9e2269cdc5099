"""The paper's baseline: an RNN with time differences, rolled on its own predictions."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn.cells import CELLS, perceptron
from isocline.nn.fields import seasons_at

from .batch import Context, Prediction, Target
from .exogenous import NO_COVARIATES, Widths
from .likelihood import gaussian_log_likelihood


class GRUForecaster(eqx.Module):
    """A GRU over (values, mask, time difference, seasons), that then predicts step by step.

    Args:
        channels: observed at each time.
        hidden_size: of the GRU.
        frequencies: of the seasons, in radians per unit of model time.
        gaps: whether it is told the time differences.
        cell: a name of `isocline.nn.cells.CELLS`; "tanh" without gaps is the paper's plain RNN.
        covariates: it reads those of the past, and is told known ones at the times it is asked.
    """

    cell: Any
    readout: eqx.nn.MLP
    frequencies: tuple[float, ...] = eqx.field(static=True)
    gaps: bool = eqx.field(static=True)
    covariates: Widths = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        hidden_size: int = 48,
        frequencies: tuple[float, ...] = (),
        *,
        key: PRNGKeyArray,
        gaps: bool = True,
        cell: str = "gru",
        covariates: Widths = NO_COVARIATES,
    ):
        first, second = jax.random.split(key)
        self.frequencies, self.gaps, self.covariates = tuple(frequencies), gaps, covariates
        told = 1 + 2 * len(frequencies)
        entry = 2 * (channels + covariates.read) + told + covariates.static
        self.cell = CELLS[cell](entry, hidden_size, key=first)
        inputs = hidden_size + told + covariates.forcing
        self.readout = eqx.nn.MLP(inputs, 2 * channels, hidden_size, 1, jax.nn.tanh, key=second)

    def _roll(self, context: Context, times: Float[Array, " times"]) -> tuple[Array, Array]:
        """Mean and standard deviation for one trajectory (arrays without a batch axis)."""
        frequencies = jnp.asarray(self.frequencies, times.dtype)
        observed, known = context.observations()
        drive = None if context.exogenous is None else context.exogenous.drive
        stays = [] if drive is None else [drive.static]
        seen = jnp.any(known, axis=1)
        order = jnp.argsort(jnp.where(seen, context.times, -jnp.inf))

        def season(t):
            return seasons_at(t, frequencies, context.phase)

        def read(carry, row):
            hidden, before, started = carry
            t, values, mask, there = row
            gap = jnp.where(started & self.gaps, t - before, 0)
            entry = jnp.concatenate([values * mask, mask, gap[None], season(t), *stays])
            hidden = jnp.where(there, self.cell(entry, hidden), hidden)
            return (hidden, jnp.where(there, t, before), started | there), None

        rows = context.times[order], observed[order], known[order], seen[order]
        zero = jnp.zeros((), times.dtype)
        start = jnp.zeros(self.cell.hidden_size, times.dtype), zero, jnp.zeros((), bool)
        (hidden, before, _), _ = jax.lax.scan(read, start, rows)

        def ahead(carry, t):
            hidden, before = carry
            gap = (t - before)[None] * self.gaps
            told = [] if drive is None else [drive.at(t, self.covariates)]
            asked = jnp.concatenate([hidden, gap, season(t), *told])
            mean, raw = jnp.split(perceptron(self.readout, asked), 2)
            entry = jnp.concatenate([*self._entry(mean, told), gap, season(t), *stays])
            return (self.cell(entry, hidden), t), (mean, jnp.exp(jnp.clip(raw - 1.0, -5.0, 2.0)))

        _, (mean, std) = jax.lax.scan(ahead, (hidden, before), times)
        return mean, std

    def _entry(self, mean: Float[Array, " channels"], told: list[Array]) -> list[Array]:
        """Values and mask of a row that is predicted: with known inputs, and without readings."""
        here = [jnp.ones(mean.shape, mean.dtype)]
        if not told:
            return [mean, *here]
        unread, driving = jnp.zeros(self.covariates.past, mean.dtype), self.covariates.driving
        given = jnp.ones(driving, mean.dtype)
        return [mean, unread, told[0][:driving], *here, unread, given]

    def decode(self, context: Context, times: Float[Array, "batch times"]) -> Prediction:
        """The rolled-out prediction."""
        mean, std = jax.vmap(self._roll)(context, times)
        return Prediction(
            mean, std, jnp.zeros((*times.shape, 0), mean.dtype), jnp.zeros(times.shape[0])
        )

    def predict(
        self, context: Context, times: Float[Array, "batch times"], key: PRNGKeyArray, samples: int
    ) -> Prediction:
        """As `LatentODE.predict`; there is nothing to draw, so one draw stands for all."""
        return jax.tree.map(lambda leaf: leaf[None], self.decode(context, times))

    def loss(
        self, context: Context, target: Target, key: PRNGKeyArray, kl_weight: Float[Array, ""]
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """The negative log-likelihood per observed value."""
        prediction = self.decode(context, target.times)
        log_likelihood = gaussian_log_likelihood(prediction, target) / jnp.maximum(
            jnp.sum(target.mask), 1
        )
        return -log_likelihood, {
            "log_likelihood": log_likelihood,
            "kl": jnp.zeros(()),
            "nfe": jnp.zeros(()),
        }
