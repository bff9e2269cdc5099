"""One step of a Rosenbrock method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field import Bound
from ..step import Start, weigh
from ..tableaus import Rosenbrock
from .linear import shifted_solver


class Slope(NamedTuple):
    """The derivatives of the field in each lane, by state and by time."""

    by_state: Float[Array, "lanes size size"]
    by_time: Float[Array, "lanes size"]


def derivatives(bound: Bound, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"]) -> Slope:
    """The Jacobian in forward mode, a column a component, and one more derivative by time.

    The latter is apart so that it costs nothing where time does not enter.
    """
    field, params = bound

    def lane(t: Any, y: Any, params: Any) -> Slope:
        by_state = jax.jacfwd(lambda y: field.lane(t, y, params))(y)
        _, by_time = jax.jvp(lambda t: field.lane(t, y, params), (t,), (jnp.ones_like(t),))
        return Slope(by_state, by_time)

    if not field.batched:
        return jax.tree.map(lambda leaf: leaf[None], lane(t, y, params))
    return jax.vmap(lane, in_axes=(0, -1, field.axes))(t, y, params)


def rosenbrock_step(
    method: Rosenbrock,
    bound: Bound,
    start: Start,
    h: Float[Array, "*lanes"],
    derive: Callable[..., Slope] = derivatives,
) -> tuple[Float[Array, "size *lanes"], Float[Array, "stages size *lanes"]]:
    """Take one step from `start`, as in `Rosenbrock`'s formula.

    Where the matrix is singular or the Jacobian not finite, so is the new state not finite, and
    the loop rejects the step.

    Args:
        derive: gives the derivatives at the start; methods with `any_matrix` keep their order with
            any others.

    Returns:
        The new state, and the stages in the common form.
    """
    t, y, f, _ = start
    by_state, by_time = derive(bound, t, y)
    by_time = _lanes_last(by_time, h)
    gamma = float(method.gamma)
    solve = shifted_solver(by_state, jnp.atleast_1d(gamma * h))
    stages: list[Float[Array, "size *lanes"]] = []
    slope = f
    for stage in range(method.implicit_stages):
        right = slope
        if stage:
            point = y + h * weigh(method.a[stage], stages)
            slope = bound(t + float(method.nodes[stage]) * h, point)
            right = slope + weigh(method.c[stage], stages)
        right += float(method.d[stage]) * h * by_time
        found = solve(jnp.moveaxis(right, 0, -1).reshape(-1, right.shape[0]))
        stages.append(gamma * _lanes_last(found, h))
    point = y + h * weigh(method.m, stages)
    last = slope if method.ends_at_new_point else bound(t + h, point)
    return point, jnp.stack([*stages, last])


def _lanes_last(rows: Float[Array, "lanes size"], h: Float[Array, "*lanes"]) -> Array:
    """Rows of lanes as the loop has them."""
    return rows.T if h.ndim else rows[0]
