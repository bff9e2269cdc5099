"""An encoder that pools all observations at once."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .encoding import AbstractEncoder, nearest_values


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
        last, age = nearest_values(times, values, mask)
        return self.head(jnp.concatenate([pooled.ravel(), last, age]))
