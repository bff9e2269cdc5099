"""Attention to reference points, and a recurrent step over these (mTAN, Shukla & Marlin 2021)."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .cells import GatedCell, affine
from .encoding import AbstractEncoder, nearest_values


class ReferenceEncoder(AbstractEncoder):
    """Smoothed values at even reference points, which a GRU reads from the farthest to the nearest.

    At each point every channel is averaged over its own observations, with weights from learnt
    embeddings of time and a learnt width; and how much was observed there is told as well. However
    many observations there are, the recurrence has as many steps as points. What is plain to see
    of a channel goes by a direct path: its nearest and its farthest value, how far these are, its
    mean, and how many observations it has.

    Args:
        channels, features: as for all encoders.
        points: from the farthest observation to the time of the state.
        heads: kinds of weights.
        waves: size of the embedding of time.
    """

    rates: Float[Array, " waves"]
    shifts: Float[Array, " waves"]
    query: Float[Array, "heads waves waves"]
    log_width: Float[Array, " heads"]
    read: eqx.nn.Linear
    cell: GatedCell
    head: eqx.nn.MLP
    points: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        features: int,
        *,
        key: PRNGKeyArray,
        points: int = 16,
        heads: int = 3,
        waves: int = 8,
    ):
        keys = jax.random.split(key, 5)
        self.points = points
        self.rates = jnp.asarray(np.geomspace(0.5, 32, waves), jnp.float32)
        self.shifts = jax.random.uniform(keys[0], (waves,), maxval=2 * np.pi)
        self.query = jax.random.normal(keys[1], (heads, waves, waves)) / waves
        # From about a point's spacing to the whole span.
        self.log_width = jnp.log(jnp.geomspace(1 / points, 1.0, heads))
        self.read = eqx.nn.Linear(2 * heads * channels + 2, features, key=keys[2])
        self.cell = GatedCell(features, features, key=keys[3])
        self.head = eqx.nn.MLP(
            features + 6 * channels, features, 2 * features, 1, jax.nn.tanh, key=keys[4]
        )

    def weights(
        self,
        at: Float[Array, " points"],
        distance: Float[Array, " observations"],
        span: Float[Array, ""],
    ) -> Float[Array, "heads points observations"]:
        """Logarithms of the weights of observations at the reference points."""
        asked, known = (
            jnp.sin(part[:, None] * self.rates + self.shifts) for part in (at, distance)
        )
        likeness = jnp.einsum("pw,hwv,ov->hpo", asked, self.query, known)
        width = jnp.exp(self.log_width)[:, None, None] * jnp.maximum(span, 1e-3)
        return likeness - 0.5 * ((at[:, None] - distance) / width) ** 2

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        distance = jnp.where(seen, jnp.abs(times), 0)
        span = jnp.max(distance)
        at = span * jnp.linspace(1, 0, self.points)
        score = jnp.where(seen, self.weights(at, distance, span), -1e9)
        top = jax.lax.stop_gradient(jnp.max(score, axis=2, keepdims=True))
        weight = jnp.exp(score - top) * seen
        # Each channel has its own observations, so its own sum of weights.
        sums, amounts = weight @ (values * mask), weight @ mask.astype(values.dtype)
        # Where a channel has nothing near, its average fades to zero.
        smooth = sums / (amounts + 0.01)
        there = jnp.log1p(amounts)
        where = jnp.stack([at, jnp.broadcast_to(span, at.shape)], axis=1)
        rows = jnp.concatenate([*smooth, *there, where], axis=1)

        def read(hidden, row):
            return self.cell(jnp.tanh(affine(self.read, row)), hidden), None

        start = jnp.zeros(self.cell.hidden_size, values.dtype)
        hidden, _ = jax.lax.scan(read, start, rows)
        near = nearest_values(distance, values, mask)
        far = nearest_values(span - distance, values, mask)
        count = jnp.sum(mask, axis=0)
        mean = jnp.sum(values * mask, axis=0) / jnp.maximum(count, 1)
        return self.head(jnp.concatenate([hidden, *near, *far, mean, jnp.log1p(count)]))
