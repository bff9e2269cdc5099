"""Encoders that read one observation after the other."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .cells import CELLS, GatedCell, perceptron
from .encoding import AbstractEncoder, far_to_near


class RNNEncoder(AbstractEncoder):
    """An RNN over observations with the time since the one before (the paper's encoder).

    Args:
        channels, features: as for all encoders.
        gaps: whether it is told when the observations were; without, it knows their order alone.
        cell: a name of `CELLS`: a GRU, or, as in the paper's own code, a plain one.
    """

    cell: Any
    gaps: bool = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        key: PRNGKeyArray,
        gaps: bool = True,
        cell: str = "gru",
    ):
        self.gaps = gaps
        self.cell = CELLS[cell](2 * channels + 2 * gaps, features, key=key)

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        order, gap = far_to_near(times, seen)
        when = [gap[:, None], jnp.abs(times)[order, None]] * self.gaps
        inputs = jnp.concatenate([(values * mask)[order], mask[order], *when], axis=1)

        def read(hidden, observation):
            entry, there = observation
            return jnp.where(there, self.cell(entry, hidden), hidden), None

        hidden, _ = jax.lax.scan(
            read, jnp.zeros(self.cell.hidden_size, values.dtype), (inputs, seen[order])
        )
        return hidden


class ODERNNEncoder(AbstractEncoder):
    """A GRU whose state follows an ODE between observations (Rubanova et al. 2019, algorithm 1).

    The gaps are crossed by two Heun steps each; the last one leads to the time of the state itself.
    """

    cell: GatedCell
    field: eqx.nn.MLP

    def __init__(self, channels: int, features: int, *, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.cell = GatedCell(2 * channels, features, key=first)
        self.field = eqx.nn.MLP(
            features, features, features, 1, jax.nn.tanh, jax.nn.tanh, key=second
        )

    def drift(
        self, hidden: Float[Array, " features"], gap: Float[Array, ""]
    ) -> Float[Array, " features"]:
        """The state after a gap without observations."""
        half = gap / 2
        for _ in range(2):
            slope = perceptron(self.field, hidden)
            ahead = perceptron(self.field, hidden + half * slope)
            hidden = hidden + half / 2 * (slope + ahead)
        return hidden

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        order, gap = far_to_near(times, seen)
        inputs = jnp.concatenate([(values * mask)[order], mask[order]], axis=1)

        def read(hidden, observation):
            entry, there, gap = observation
            return jnp.where(there, self.cell(entry, self.drift(hidden, gap)), hidden), None

        start = jnp.zeros(self.cell.hidden_size, values.dtype)
        hidden, _ = jax.lax.scan(read, start, (inputs, seen[order], gap))
        nearest = jnp.min(jnp.where(seen, jnp.abs(times), jnp.inf), initial=jnp.inf)
        return self.drift(hidden, jnp.where(jnp.isfinite(nearest), nearest, 0))
