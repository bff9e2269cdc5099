"""Many trajectories on one clock: one solve on common knots, and cubics between them.

A solve of its own for each trajectory, or one that stops at the union of all their times, costs as
much as their times are irregular. All of them together take as many steps as the field needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from isocline.ode import solve


class Knots(NamedTuple):
    """Equally spaced times that all trajectories share.

    Attributes:
        span: from 0 to this time; what lies after it is taken as its end.
        pieces: between the knots.
    """

    span: float = 1.0
    pieces: int = 48


class _Together(eqx.Module):
    """A field of one trajectory, for all of them."""

    field: Callable[..., PyTree]
    axes: PyTree = eqx.field(static=True)

    def __call__(self, t: Float[Array, ""], y: PyTree[Array], args: PyTree) -> PyTree[Array]:
        return jax.vmap(self.field, in_axes=(None, 0, self.axes))(t, y, args)


def solve_together(
    field: Callable[..., PyTree],
    y0: PyTree[Array],
    times: Float[Array, "batch times"],
    args: PyTree,
    knots: Knots,
    *,
    args_axes: PyTree = 0,
    **options: Any,
) -> tuple[PyTree[Array], Array]:
    """States of each trajectory at its own times, in any order, from a solve that starts at 0.

    Args:
        field: of one trajectory, `field(t, y, args)`.
        y0: its leaves have a leading axis of trajectories.
        times: of each.
        args, args_axes: as in `jax.vmap`; a tuple of axes for a tuple of arguments.
        knots: where the solve is read; between them the states follow cubic Hermite polynomials.
        options: of `solve`.

    Returns:
        The states, `(batch, times, ...)`, and the evaluations of all trajectories together.
    """
    together = _Together(field, args_axes)
    at = jnp.linspace(0.0, knots.span, knots.pieces + 1, dtype=times.dtype)
    solution = solve(together, y0, at, args, **options)
    slopes = jax.vmap(lambda t, y: together(t, y, args))(at, solution.ys)
    length = knots.span / knots.pieces
    # As products with matrices: gathering knots would be scattering, one by one, in the gradient.
    away = jnp.clip(times, 0, knots.span)[..., None] / length - jnp.arange(
        knots.pieces + 1, dtype=times.dtype
    )
    near = jnp.maximum(1 - jnp.abs(away), 0) ** 2
    of_value, of_slope = near * (1 + 2 * jnp.abs(away)), near * away * length

    def read(values: Array, slope: Array) -> Array:
        return jnp.einsum("btk,kb...->bt...", of_value, values) + jnp.einsum(
            "btk,kb...->bt...", of_slope, slope
        )

    return jax.tree.map(read, solution.ys, slopes), solution.stats.nfe
