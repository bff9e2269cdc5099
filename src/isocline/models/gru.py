"""The paper's baseline: an RNN with time differences, rolled on its own predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn.fields import seasons_at

from .batch import Context, Prediction, Target
from .likelihood import gaussian_log_likelihood


class TanhCell(eqx.Module):
    """The plain recurrent cell (Elman 1990): `h' = tanh(W x + U h + b)`."""

    read: eqx.nn.Linear
    carry: eqx.nn.Linear
    hidden_size: int = eqx.field(static=True)

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.hidden_size = hidden_size
        self.read = eqx.nn.Linear(inputs, hidden_size, key=first)
        self.carry = eqx.nn.Linear(hidden_size, hidden_size, use_bias=False, key=second)

    def __call__(
        self, entry: Float[Array, " inputs"], hidden: Float[Array, " hidden"]
    ) -> Float[Array, " hidden"]:
        """The next hidden state."""
        return jnp.tanh(self.read(entry) + self.carry(hidden))


CELLS: dict[str, Callable[..., Any]] = {"gru": eqx.nn.GRUCell, "tanh": TanhCell}


class GRUForecaster(eqx.Module):
    """A GRU over (values, mask, time difference, seasons), that then predicts step by step.

    Args:
        channels: observed at each time.
        hidden_size: of the GRU.
        frequencies: of the seasons, in radians per unit of model time.
        gaps: whether it is told the time differences.
        cell: a name of `CELLS`; "tanh" without gaps is the paper's plain RNN.
    """

    cell: Any
    readout: eqx.nn.MLP
    frequencies: tuple[float, ...] = eqx.field(static=True)
    gaps: bool = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        hidden_size: int = 48,
        frequencies: tuple[float, ...] = (),
        *,
        key: PRNGKeyArray,
        gaps: bool = True,
        cell: str = "gru",
    ):
        first, second = jax.random.split(key)
        self.frequencies, self.gaps = tuple(frequencies), gaps
        self.cell = CELLS[cell](2 * channels + 1 + 2 * len(frequencies), hidden_size, key=first)
        inputs = hidden_size + 1 + 2 * len(frequencies)
        self.readout = eqx.nn.MLP(inputs, 2 * channels, hidden_size, 1, jax.nn.tanh, key=second)

    def _roll(self, context: Context, times: Float[Array, " times"]) -> tuple[Array, Array]:
        """Mean and standard deviation for one trajectory (arrays without a batch axis)."""
        frequencies = jnp.asarray(self.frequencies, times.dtype)
        channels = context.values.shape[1]
        seen = jnp.any(context.mask, axis=1)
        order = jnp.argsort(jnp.where(seen, context.times, -jnp.inf))

        def season(t):
            return seasons_at(t, frequencies, context.phase)

        def read(carry, row):
            hidden, before, started = carry
            t, values, mask, there = row
            gap = jnp.where(started & self.gaps, t - before, 0)
            entry = jnp.concatenate([values * mask, mask, gap[None], season(t)])
            hidden = jnp.where(there, self.cell(entry, hidden), hidden)
            return (hidden, jnp.where(there, t, before), started | there), None

        rows = context.times[order], context.values[order], context.mask[order], seen[order]
        zero = jnp.zeros((), times.dtype)
        start = jnp.zeros(self.cell.hidden_size, times.dtype), zero, jnp.zeros((), bool)
        (hidden, before, _), _ = jax.lax.scan(read, start, rows)

        def ahead(carry, t):
            hidden, before = carry
            gap = (t - before)[None] * self.gaps
            mean, raw = jnp.split(self.readout(jnp.concatenate([hidden, gap, season(t)])), 2)
            entry = jnp.concatenate([mean, jnp.ones(channels, mean.dtype), gap, season(t)])
            return (self.cell(entry, hidden), t), (mean, jnp.exp(jnp.clip(raw - 1.0, -5.0, 2.0)))

        _, (mean, std) = jax.lax.scan(ahead, (hidden, before), times)
        return mean, std

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
