"""Fields of continuous normalizing flows, with their divergence in closed form where there is one.

They see time, a potential as it is and the others as a few waves, and the context of a conditional
flow beside it. What depends on these alone is computed once for all points of a batch that share
them.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .divergence import AbstractFlowField, Point

_WAVES = 3  # of time; the slowest does half a turn between 0 and 1
_RANK = 10  # at most, of the quadratic part of a potential
_START = 0.1  # of that part


def time_features(t: Float[Array, ""], context: Float[Array, " context"]) -> Float[Array, " all"]:
    """Time, sines and cosines of it, and the context."""
    angles = jnp.pi * t * jnp.arange(1, _WAVES + 1, dtype=t.dtype)
    waves = jnp.concatenate([t[None], jnp.sin(angles), jnp.cos(angles)])
    # An empty context of each point would make features of each point of what all have in common.
    return jnp.concatenate([waves, context]) if context.size else waves


def _features(context: int) -> int:
    return 1 + 2 * _WAVES + context


class HyperField(AbstractFlowField):
    """The paper's field: `sum_m s_m(t) u_m(t) tanh(w_m(t).z + b_m(t))` (Chen et al. 2018, sec. 4).

    A hyper-network of time gives the planar units and their gates s. The divergence is
    `sum_m s_m (u_m.w_m) (1 - tanh^2)`: as cheap as the slope, O(size x units).

    Attributes:
        network: from time and context to w, u, b and the gates.
        units: M.
    """

    network: eqx.nn.MLP
    units: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self, size: int, units: int, context: int = 0, *, hidden: int = 32, key: PRNGKeyArray
    ):
        out = units * (2 * size + 2)
        network = eqx.nn.MLP(_features(context), out, hidden, 2, jnp.tanh, key=key)
        # Units in all directions and places from the start, and pushes that begin small.
        first, second = jax.random.split(key)
        bias = jnp.concatenate(
            [
                jax.random.normal(first, (units * size,)),
                jnp.zeros(units * size),
                jax.random.normal(second, (units,)),
                jnp.zeros(units),
            ]
        )
        self.network = eqx.tree_at(lambda one: one.layers[-1].bias, network, bias)
        self.units, self.size = units, size

    def _parts(self, t: Array, z: Point, context: Array) -> tuple[Array, Array, Array]:
        """Directions w, gated pushes u, and the units' values."""
        cut = self.units * self.size
        flat = self.network(time_features(t, context))
        w, u = flat[:cut].reshape(-1, self.size), flat[cut : 2 * cut].reshape(-1, self.size)
        b, gate = flat[2 * cut :].reshape(2, -1)
        return w, u * jax.nn.sigmoid(gate)[:, None], jnp.tanh(w @ z + b)

    def __call__(self, t, z, context):
        _, u, value = self._parts(t, z, context)
        return value @ u

    def with_divergence(self, t, z, context):
        w, u, value = self._parts(t, z, context)
        return value @ u, (1 - value**2) @ jnp.sum(w * u, axis=1)


class GatedField(AbstractFlowField):
    """A perceptron of two hidden layers whose scales and shifts follow time and context.

    `W3 h2 + b3`, `h2 = tanh(g2 * (W2 h1) + b2)`, `h1 = tanh(g1 * (W1 z) + b1)`: the concatsquash
    layers of FFJORD (Grathwohl et al. 2019). With `a = g tanh'` of each layer the divergence is
    `a2^T [W2 * (W1 W3)^T] a1`, one more product of the hidden size whatever the size of z.

    Attributes:
        first, middle, last: W1, W2, W3.
        network: from time and context to g1, b1, g2, b2, b3.
    """

    first: Float[Array, "hidden size"]
    middle: Float[Array, "hidden hidden"]
    last: Float[Array, "size hidden"]
    network: eqx.nn.MLP

    def __init__(self, size: int, hidden: int, context: int = 0, *, key: PRNGKeyArray):
        keys = jax.random.split(key, 3)
        self.first = jax.random.normal(keys[0], (hidden, size)) / jnp.sqrt(size)
        self.middle = jax.random.normal(keys[1], (hidden, hidden)) / jnp.sqrt(hidden)
        self.last = jnp.zeros((size, hidden))
        out = 4 * hidden + size
        network = eqx.nn.MLP(_features(context), out, 32, 1, jnp.tanh, key=keys[2])
        ones = jnp.ones(hidden)
        shifts = jax.random.normal(keys[2], (hidden,))
        bias = jnp.concatenate([ones, shifts, ones, 0 * ones, jnp.zeros(size)])
        self.network = eqx.tree_at(lambda one: one.layers[-1].bias, network, bias)

    def _layers(self, t: Array, z: Point, context: Array) -> tuple[Array, ...]:
        flat = self.network(time_features(t, context))
        g1, b1, g2, b2 = flat[: 4 * len(self.first)].reshape(4, -1)
        h1 = jnp.tanh(g1 * (self.first @ z) + b1)
        h2 = jnp.tanh(g2 * (self.middle @ h1) + b2)
        slope = self.last @ h2 + flat[4 * len(self.first) :]
        return slope, g1 * (1 - h1**2), g2 * (1 - h2**2)

    def __call__(self, t, z, context):
        return self._layers(t, z, context)[0]

    def with_divergence(self, t, z, context):
        slope, a1, a2 = self._layers(t, z, context)
        return slope, a2 @ ((self.middle * (self.first @ self.last).T) @ a1)


class PotentialField(AbstractFlowField):
    """`dz/dt = -grad Phi(s)` of a point, time and context `s` (OT-Flow, Onken et al. 2021).

    Optimal transport moves along such fields. `Phi = w.h2 + |A s|^2 / 2 + b.s` (their eq. 10 to
    13), `h2 = h1 + sigma(K2 h1 + b2)`, `h1 = sigma(K1 s + b1)`, sigma the antiderivative of tanh.
    The gradient is a pass back through the layers; the trace of the Hessian is
    `tanh'1^T (g * K1z^2 1) + (w * tanh'2)^T (K2 diag(tanh1) K1z)^2 1 + |Az|^2`, with g what arrives
    at the first layer and K1z, Az the columns of the point: `O(hidden^2 size)` (their sec. 3.2).

    Attributes:
        first, middle: K1, K2.
        shift1, shift2: b1, b2. In one leaf they would be a matrix to Muon's steps.
        last: w.
        quadratic: A, of rank 10 at most.
        linear: b.
    """

    first: Float[Array, "hidden all"]
    middle: Float[Array, "hidden hidden"]
    shift1: Float[Array, " hidden"]
    shift2: Float[Array, " hidden"]
    last: Float[Array, " hidden"]
    quadratic: Float[Array, "rank all"]
    linear: Float[Array, " all"]

    def __init__(self, size: int, hidden: int, context: int = 0, *, key: PRNGKeyArray):
        width = size + 1 + context
        keys = jax.random.split(key, 4)
        self.first = jax.random.normal(keys[0], (hidden, width)) / jnp.sqrt(size)
        self.middle = jax.random.normal(keys[1], (hidden, hidden)) / jnp.sqrt(hidden)
        # Units bend in all places from the start; none of them pushes yet.
        self.shift1 = jax.random.normal(keys[2], (hidden,))
        self.shift2 = jnp.zeros(hidden)
        self.last = jnp.zeros(hidden)
        rank = min(_RANK, size + 1)
        self.quadratic = _START * jax.random.normal(keys[3], (rank, width))
        self.linear = jnp.zeros(width)

    def potential(self, t: Array, z: Point, context: Array) -> Float[Array, ""]:
        """Phi."""
        rest = _rest(t, context)
        h1 = _bend(_product(self.first, z, rest) + self.shift1)
        h2 = h1 + _bend(self.middle @ h1 + self.shift2)
        square = jnp.sum(_product(self.quadratic, z, rest) ** 2) / 2
        return self.last @ h2 + square + _product(self.linear, z, rest)

    def _gradient(self, t: Array, z: Point, context: Array) -> tuple[Array, ...]:
        """The gradient of Phi in all of s, what arrives at the first layer, and tanh of both."""
        rest = _rest(t, context)
        inner = _product(self.first, z, rest) + self.shift1
        tanh1 = jnp.tanh(inner)
        tanh2 = jnp.tanh(self.middle @ _bend(inner) + self.shift2)
        arrived = self.last + (self.last * tanh2) @ self.middle
        square = _product(self.quadratic, z, rest) @ self.quadratic
        return (arrived * tanh1) @ self.first + square + self.linear, arrived, tanh1, tanh2

    def __call__(self, t, z, context):
        return -self._gradient(t, z, context)[0][: z.size]

    def with_divergence(self, t, z, context):
        gradient, arrived, tanh1, tanh2 = self._gradient(t, z, context)
        ours, square = self.first[:, : z.size], self.quadratic[:, : z.size]
        inner = jnp.sum(ours**2, axis=1) @ (arrived * (1 - tanh1**2))
        # Columns in rows: of a batch it is one product of matrices.
        pushed = (ours.T * tanh1) @ self.middle.T
        outer = jnp.sum(pushed**2, axis=0) @ (self.last * (1 - tanh2**2))
        return -gradient[: z.size], -(inner + outer + jnp.sum(square**2))

    def residual(self, t: Array, z: Point, context: Array) -> Float[Array, ""]:
        """`|dPhi/dt - |grad Phi|^2 / 2|`: zero along optimal paths (Hamilton, Jacobi, Bellman)."""
        gradient = self._gradient(t, z, context)[0]
        return jnp.abs(gradient[z.size] - jnp.sum(gradient[: z.size] ** 2) / 2)


@jax.custom_jvp
def _bend(x: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
    """`log(exp(x) + exp(-x))`, whose derivative is tanh; here from tanh, which is there anyway."""
    size = jnp.abs(x)
    return size + jnp.log(2 / (1 + jnp.tanh(size)))


@_bend.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _bend(*primals), jnp.tanh(*primals) * tangents[0]


def _rest(t: Array, context: Array) -> Float[Array, " rest"]:
    """What stands beside the point."""
    return jnp.concatenate([t[None], context]) if context.size else t[None]


def _product(matrix: Float[Array, "*rows all"], z: Point, rest: Array) -> Float[Array, "*rows"]:
    """`matrix @ [z, rest]`; what points share is computed once for them all."""
    return matrix[..., : z.size] @ z + matrix[..., z.size :] @ rest


FIELDS: dict[str, Callable[..., AbstractFlowField]] = {
    "hyper": HyperField,
    "gated": GatedField,
    "potential": PotentialField,
}
