"""A neural controlled differential equation (Kidger et al. 2020) as an encoder."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .cells import perceptron
from .encoding import AbstractEncoder, far_to_near

WIDEST_PATH = 12


class ControlledEncoder(AbstractEncoder):
    """`dh = F(h) dX`: the hidden state is driven by a path through the observations.

    X(t) holds the time, each channel's values on straight lines from one of its observations to the
    next (constant before the first and after the last), and how many there were so far. It leads
    from the farthest observation to the time of the state. Pieces are straight, so each is an ODE
    of its own, crossed by one step of the classical Runge-Kutta method.

    Args:
        channels, features: as for all encoders.
        counts: whether the path holds the counts. Without, the summary depends on the lines alone:
            another observation on one of them changes nothing but rounding and discretization.

    A path of more than `WIDEST_PATH` components is first mapped to so many by a learnt matrix.
    """

    mixing: Float[Array, "path components"]
    start: eqx.nn.Linear
    field: eqx.nn.MLP
    counts: bool = eqx.field(static=True)

    def __init__(self, channels: int, features: int, *, key: PRNGKeyArray, counts: bool = True):
        keys = jax.random.split(key, 3)
        components = 1 + channels * (2 if counts else 1)
        width = min(components, WIDEST_PATH)
        self.counts = counts
        self.mixing = (
            jnp.eye(components)
            if width == components
            else jax.random.normal(keys[0], (width, components)) / components**0.5
        )
        self.start = eqx.nn.Linear(2 * channels + 1, features, key=keys[1])
        self.field = eqx.nn.MLP(
            features, features * width, features, 1, jax.nn.tanh, jax.nn.tanh, key=keys[2]
        )

    def slope(
        self, hidden: Float[Array, " features"], change: Float[Array, " path"]
    ) -> Float[Array, " features"]:
        """`F(h) dX` of a piece."""
        return perceptron(self.field, hidden).reshape(hidden.shape[0], -1) @ change

    def cross(
        self, hidden: Float[Array, " features"], change: Float[Array, " path"]
    ) -> Float[Array, " features"]:
        """The state at the end of a piece."""
        first = self.slope(hidden, change)
        second = self.slope(hidden + first / 2, change)
        third = self.slope(hidden + second / 2, change)
        fourth = self.slope(hidden + third, change)
        return hidden + (first + 2 * second + 2 * third + fourth) / 6

    def __call__(self, times, values, mask):
        seen = jnp.any(mask, axis=1)
        # Padding comes first in this order.
        order, _ = far_to_near(times, seen)
        there, mask = seen[order], mask[order]
        distance = jnp.where(there, jnp.abs(times)[order], 0)
        lines = filled(distance, jnp.where(mask, values[order], 0), mask)
        counts = jnp.cumsum(mask, axis=0) / 10
        path = jnp.concatenate([-distance[:, None], lines, *[counts] * self.counts], axis=1)
        # The last piece leads to the state itself, with nothing but the time going on.
        path = jnp.concatenate([path, path[-1:].at[:, 0].set(0)])
        changes = jnp.diff(path, axis=0) @ self.mixing.T
        ever = jnp.any(mask, axis=0)
        farthest = jnp.max(distance, initial=0)
        known = jnp.concatenate([lines[0], ever, farthest[None]]) * jnp.any(seen)

        def read(hidden, piece):
            change, on = piece
            return jnp.where(on, self.cross(hidden, change), hidden), None

        hidden, _ = jax.lax.scan(read, jnp.tanh(self.start(known)), (changes, there))
        return hidden


def filled(
    distance: Float[Array, " observations"],
    values: Float[Array, "observations channels"],
    mask: Bool[Array, "observations channels"],
) -> Float[Array, "observations channels"]:
    """Each channel on straight lines between its own observations, from far to near.

    Before its first observation and after its last it is constant, and zero if it has none.
    """
    rows = jnp.arange(len(distance))[:, None]
    before = jax.lax.cummax(jnp.where(mask, rows, -1), axis=0)
    after = jax.lax.cummin(jnp.where(mask, rows, len(rows)), axis=0, reverse=True)
    early, late = before < 0, after >= len(rows)
    before, after = jnp.maximum(before, 0), jnp.minimum(after, len(rows) - 1)
    left, right = (jnp.take_along_axis(values, rows, axis=0) for rows in (before, after))
    length = distance[before] - distance[after]
    part = jnp.where(length > 0, distance[before] - distance[:, None], 0)
    part = part / jnp.where(length > 0, length, 1)
    line = left + part * (right - left)
    line = jnp.where(early, right, jnp.where(late, left, line))
    return jnp.where(early & late, 0, line)
