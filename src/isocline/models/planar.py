"""Discrete normalizing flows of planar layers (Rezende & Mohamed 2015): the baseline of the CNF."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .flow import Contexts, Points, base_log_prob

_HALVINGS = 60  # of an interval, for the inverse: below what a double resolves


class PlanarFlow(eqx.Module):
    """Layers `z + u tanh(w.z + b)`, stacked; u is held where a layer can be inverted (app. A.1).

    Layers map in one direction only in closed form. Where a density is learnt from data they map
    data to the normal, so that densities are cheap; where it is known up to a constant they map the
    normal to points. The other direction is a search along one line a layer.

    Attributes:
        w, u, b: one row a layer; b also has a row of weights for the context.
        shift, scale: an affine layer at the end, which the paper's is without for a density that is
            known.
        from_data: the direction of the layers.
    """

    w: Float[Array, "layers size"]
    u: Float[Array, "layers size"]
    b: Float[Array, "layers one_and_context"]
    shift: Float[Array, " size"]
    scale: Float[Array, " size"]
    from_data: bool = eqx.field(static=True)

    def __init__(
        self, size: int, layers: int, context: int = 0, *, from_data: bool, key: PRNGKeyArray
    ):
        first, second, third = jax.random.split(key, 3)
        self.w = jax.random.normal(first, (layers, size)) / jnp.sqrt(size)
        self.u = 0.1 * jax.random.normal(second, (layers, size))
        start = jax.random.normal(third, (layers, 1))
        self.b = jnp.concatenate([start, jnp.zeros((layers, context))], axis=1)
        self.shift, self.scale = jnp.zeros(size), jnp.zeros(size)
        self.from_data = from_data

    @property
    def size(self) -> int:
        """Components of a point."""
        return self.shift.size

    def _layers(self, context: Contexts) -> tuple[Array, Array, Array]:
        """w, the u that can be inverted, and b of each point: one entry a layer."""
        inner = jnp.sum(self.w * self.u, axis=1)
        enough = -1 + jax.nn.softplus(inner)
        square = jnp.sum(self.w**2, axis=1) + 1e-12
        u = self.u + ((enough - inner) / square)[:, None] * self.w
        ones = jnp.ones((len(context), 1), context.dtype)
        return self.w, u, self.b @ jnp.concatenate([ones, context], axis=1).T

    def forward(self, z: Points, context: Contexts) -> tuple[Points, Float[Array, " points"]]:
        """Through all layers, and the log-determinant."""

        def layer(carry, parts):
            z, change = carry
            w, u, b = parts
            value = jnp.tanh(z @ w + b)
            change = change + jnp.log1p((w @ u) * (1 - value**2))
            return (z + value[:, None] * u, change), None

        begin = (z, jnp.zeros(len(z), z.dtype))
        (z, change), _ = jax.lax.scan(layer, begin, self._layers(context))
        return z * jnp.exp(self.scale) + self.shift, change + jnp.sum(self.scale)

    def backward(self, x: Points, context: Contexts) -> tuple[Points, Float[Array, " points"]]:
        """The inverse of `forward`, and the log-determinant of `forward` there."""

        def layer(carry, parts):
            x, change = carry
            w, u, b = parts
            inner, along = w @ u, x @ w

            # `s + (w.u) tanh(s + b) = w.x` grows with s, so halving an interval finds it.
            def halve(_, ends):
                low, high = ends
                s = (low + high) / 2
                above = s + inner * jnp.tanh(s + b) > along
                return jnp.where(above, low, s), jnp.where(above, s, high)

            reach = jnp.abs(inner) + 1e-6
            ends = jax.lax.fori_loop(0, _HALVINGS, halve, (along - reach, along + reach))
            value = jnp.tanh((ends[0] + ends[1]) / 2 + b)
            change = change + jnp.log1p(inner * (1 - value**2))
            return (x - value[:, None] * u, change), None

        x = (x - self.shift) * jnp.exp(-self.scale)
        begin = (x, jnp.zeros(len(x), x.dtype) + jnp.sum(self.scale))
        (z, change), _ = jax.lax.scan(layer, begin, self._layers(context), reverse=True)
        return z, change

    def log_prob(self, x: Points, context: Contexts) -> Float[Array, " points"]:
        """The log-density of points of the data."""
        if self.from_data:
            z, change = self.forward(x, context)
            return base_log_prob(z) + change
        z, change = self.backward(x, context)
        return base_log_prob(z) - change

    def push(self, z: Points, context: Contexts) -> tuple[Float[Array, " points"], Points]:
        """The log-density at the images of points of the normal, and the images."""
        if self.from_data:
            x, change = self.backward(z, context)
            return base_log_prob(z) + change, x
        x, change = self.forward(z, context)
        return base_log_prob(z) - change, x
