"""One step of a Rosenbrock method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..field import Field, Params
from ..step import Step, combine
from ..tableaus import Rosenbrock
from .linear import shifted_solver


class Slope(NamedTuple):
    """The derivatives of the field in each lane, by state and by time."""

    by_state: Float[Array, "lanes size size"]
    by_time: Float[Array, "lanes size"]


def derivatives(
    field: Field, params: Params, t: Float[Array, " lanes"], y: Float[Array, "lanes size"]
) -> Slope:
    """The Jacobian in forward mode, a column a component, and one more derivative by time.

    The latter is apart so that it costs nothing where time does not enter.
    """

    def lane(t, y, params):
        by_state = jax.jacfwd(lambda y: field.lane(t, y, params))(y)
        _, by_time = jax.jvp(lambda t: field.lane(t, y, params), (t,), (jnp.ones_like(t),))
        return Slope(by_state, by_time)

    if field.lanes == 1:
        return jax.tree.map(lambda leaf: leaf[None], lane(t[0], y[0], field.first(params)))
    return jax.vmap(lane, in_axes=(0, 0, field.axes))(t, y, params)


def rosenbrock_step(
    method: Rosenbrock,
    field: Field,
    params: Params,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
    derive: Callable[..., Slope] = derivatives,
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`, as in `Rosenbrock`'s formula.

    Where the matrix is singular or the Jacobian not finite, so is the new state not finite, and
    the loop rejects the step.

    Args:
        method: the method.
        field: the field, with its lanes.
        params: whatever the field takes beside time and state.
        start: time, state, and the field there.
        h: step size of each lane; zero leaves a lane where it is.
        derive: gives the derivatives at the start; methods with `any_matrix` keep their order with
            any others.
    """
    t, y, f = start
    by_state, by_time = derive(field, params, t, y)
    gamma = float(method.gamma)
    solve = shifted_solver(by_state, gamma * h)
    one = jnp.ones_like(h)
    stages: list[Float[Array, "lanes size"]] = []
    slope = f
    for stage in range(method.implicit_stages):
        if stage:
            point = y + combine(method.a[stage], stages, h)
            slope = field(t + float(method.nodes[stage]) * h, point, params)
            right = slope + combine(method.c[stage], stages, one)
        else:
            right = slope
        right += (float(method.d[stage]) * h)[:, None] * by_time
        stages.append(gamma * solve(right))
    point = y + combine(method.m, stages, h)
    last = slope if method.ends_at_new_point else field(t + h, point, params)
    return Step(point, jnp.stack([*stages, last]))
