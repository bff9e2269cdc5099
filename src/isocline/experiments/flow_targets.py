"""The four target densities of Rezende and Mohamed (2015, table 1), which are known up to a factor.

Three of them have no end along the first axis, so they are no densities: as is usual, a soft wall
at |z1| = 4 is put around them, and stated here. Their constants come from a grid.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Energy = Callable[[Float[Array, "points 2"]], Float[Array, " points"]]
EXTENT = 6.0
WALL, SOFT = 4.0, 0.4


def _wave(z1: Array) -> Array:
    return jnp.sin(2 * jnp.pi * z1 / 4)


def _hump(z1: Array) -> Array:
    return 3 * jnp.exp(-0.5 * ((z1 - 1) / 0.6) ** 2)


def _step(z1: Array) -> Array:
    return 3 * jax.nn.sigmoid((z1 - 1) / 0.3)


def _ring(z: Array) -> Array:
    radius = jnp.sqrt(jnp.sum(z**2, axis=1) + 1e-12)
    ends = [-0.5 * ((z[:, 0] + side) / 0.6) ** 2 for side in (-2, 2)]
    return 0.5 * ((radius - 2) / 0.4) ** 2 - jnp.logaddexp(*ends)


def _waves(*others: tuple[Callable[[Array], Array] | None, float]) -> Energy:
    """Bands along a wave, each moved away from it by a function and of a width of its own."""

    def energy(z: Array) -> Array:
        z1, z2 = z.T
        away = [z2 - _wave(z1) + (0 if move is None else move(z1)) for move, _ in others]
        logs = [-0.5 * (one / width) ** 2 for one, (_, width) in zip(away, others)]
        outside = jnp.maximum(jnp.abs(z1) - WALL, 0)
        return 0.5 * (outside / SOFT) ** 2 - jax.nn.logsumexp(jnp.stack(logs), axis=0)

    return energy


TARGETS: dict[str, Energy] = {
    "U1": _ring,
    "U2": _waves((None, 0.4)),
    "U3": _waves((None, 0.35), (_hump, 0.35)),
    "U4": _waves((None, 0.4), (_step, 0.35)),
}


def log_density(name: str) -> Energy:
    """The logarithm of a target, up to its constant."""
    energy = TARGETS[name]
    return lambda z: -energy(z)


def log_constant(name: str, points: int = 1200) -> float:
    """The logarithm of the integral of `exp(log_density)`, on a grid."""
    step = 2 * EXTENT / points
    axis = np.float32(-EXTENT + step * (np.arange(points) + 0.5))
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = np.asarray(log_density(name)(jnp.asarray(grid)), np.float64)
    return float(np.log(np.sum(np.exp(values)) * step**2))
