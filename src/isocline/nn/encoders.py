"""Encoders: from irregular observations to a summary at the time of the latent initial state.

Every encoder reads one trajectory: times relative to that of the state (so that |t| is the
distance), values with zeros where nothing was observed, and a mask. Padding has an all-false mask.
Recurrent encoders read from the farthest observation to the nearest: backwards in time when the
state lies at the start, as in Chen et al. (2018), forwards when it lies at the end.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray


class AbstractEncoder(eqx.Module):
    """`(times, values, mask) -> features`."""

    @abstractmethod
    def __call__(
        self,
        times: Float[Array, " observations"],
        values: Float[Array, "observations channels"],
        mask: Bool[Array, "observations channels"],
    ) -> Float[Array, " features"]:
        """The summary of one trajectory's observations."""


def far_to_near(
    times: Float[Array, " observations"], seen: Bool[Array, " observations"]
) -> tuple[Array, Float[Array, " observations"]]:
    """The order from the farthest observation to the nearest, and the gap before each."""
    distance = jnp.where(seen, jnp.abs(times), jnp.inf)
    order = jnp.argsort(-distance)
    sorted_distance = distance[order]
    after = jnp.where(jnp.isfinite(sorted_distance), sorted_distance, 0)
    before = jnp.concatenate([after[:1], after[:-1]])
    gap = jnp.where(
        jnp.isfinite(jnp.concatenate([sorted_distance[:1], sorted_distance[:-1]])),
        before - after,
        0,
    )
    return order, gap


class RNNEncoder(AbstractEncoder):
    """A GRU over observations with the time since the one before (the paper's encoder)."""

    cell: eqx.nn.GRUCell

    def __init__(self, channels: int, features: int, *, key: PRNGKeyArray):
        self.cell = eqx.nn.GRUCell(2 * channels + 2, features, key=key)

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        order, gap = far_to_near(times, seen)
        inputs = jnp.concatenate(
            [(values * mask)[order], mask[order], gap[:, None], jnp.abs(times)[order, None]], axis=1
        )

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

    cell: eqx.nn.GRUCell
    field: eqx.nn.MLP

    def __init__(self, channels: int, features: int, *, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(2 * channels, features, key=first)
        self.field = eqx.nn.MLP(
            features, features, features, 1, jax.nn.tanh, jax.nn.tanh, key=second
        )

    def drift(
        self, hidden: Float[Array, " features"], gap: Float[Array, ""]
    ) -> Float[Array, " features"]:
        """The state after a gap without observations."""
        half = gap / 2
        for _ in range(2):
            slope = self.field(hidden)
            hidden = hidden + half / 2 * (slope + self.field(hidden + half * slope))
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


class AttentionEncoder(AbstractEncoder):
    """Attention over observation times, in the manner of mTAN (Shukla & Marlin 2021).

    Each observation is a token of its values, its mask and an embedding of its time; learnt queries
    pool them, so that nothing is sequential. A channel's nearest value and its age go by a direct
    path.
    """

    token: eqx.nn.MLP
    query: Float[Array, "heads width"]
    key_map: eqx.nn.Linear
    rates: Float[Array, " rates"]
    head: eqx.nn.MLP

    def __init__(
        self, channels: int, features: int, *, key: PRNGKeyArray, heads: int = 6, rates: int = 6
    ):
        keys = jax.random.split(key, 4)
        self.rates = jnp.asarray([2.0**power for power in range(rates)])
        embedded = 3 * rates
        self.token = eqx.nn.MLP(
            2 * channels + embedded, features, features, 1, jax.nn.tanh, key=keys[0]
        )
        self.query = jax.random.normal(keys[1], (heads, features)) / features**0.5
        self.key_map = eqx.nn.Linear(features + embedded, features, key=keys[2])
        self.head = eqx.nn.MLP(
            heads * features + 2 * channels, features, 2 * features, 1, jax.nn.tanh, key=keys[3]
        )

    def embed(self, times: Float[Array, " observations"]) -> Float[Array, "observations embedded"]:
        """Decays and waves of the distance at a ladder of time scales."""
        scaled = jnp.abs(times)[:, None] * jax.lax.stop_gradient(self.rates)
        return jnp.concatenate([jnp.exp(-scaled), jnp.sin(scaled), jnp.cos(scaled)], axis=1)

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        embedded = self.embed(jnp.where(seen, times, 0))
        entries = jnp.concatenate([values * mask, mask, embedded], axis=1)
        tokens = jax.vmap(self.token)(entries)
        keys = jax.vmap(self.key_map)(jnp.concatenate([tokens, embedded], axis=1))
        scores = jnp.where(seen, self.query @ keys.T, -1e9)
        pooled = jax.nn.softmax(scores, axis=1) @ tokens * jnp.any(seen)
        distance = jnp.where(mask, jnp.abs(times)[:, None], jnp.inf)
        nearest = jnp.argmin(distance, axis=0)
        channel = jnp.arange(values.shape[1])
        known = mask[nearest, channel]
        last = jnp.where(known, values[nearest, channel], 0)
        age = jnp.where(known, jnp.exp(-jnp.abs(times)[nearest]), 0)
        return self.head(jnp.concatenate([pooled.ravel(), last, age]))


ENCODERS: dict[str, Callable[..., AbstractEncoder]] = {
    "rnn": RNNEncoder,
    "ode_rnn": ODERNNEncoder,
    "attention": AttentionEncoder,
}
