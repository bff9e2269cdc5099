"""One step of an explicit Runge-Kutta method, and the polynomial that fills it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .sharding import vary, varying_axes
from .tableaus import Method, Tableau

Field = Callable[
    [Float[Array, " lanes"], Float[Array, "lanes size"], Any], Float[Array, "lanes size"]
]


class Step(NamedTuple):
    """What a step computed: the new state, its error estimates, and every stage."""

    y: Float[Array, "lanes size"]
    slopes: Float[Array, "stages lanes size"]

    def last(self, method: Method) -> Float[Array, "lanes size"]:
        """The field at the new point: the first stage of the next step."""
        return self.slopes[method.stages - 1]


def combine(
    weights, slopes: list[Float[Array, "lanes size"]], h: Float[Array, " lanes"]
) -> Float[Array, "lanes size"]:
    """`h * sum_s weights[s] slopes[s]`, leaving out zero weights; zeros if there are none."""
    terms = [
        float(weight) * slope for weight, slope in zip(weights, slopes, strict=False) if weight
    ]
    total = sum(terms[1:], terms[0]) if terms else jnp.zeros_like(slopes[0])
    return h[:, None] * total


def runge_kutta_step(
    tableau: Tableau,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
    fill: Bool[Array, ""],
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`.

    Args:
        tableau: the method.
        field: `field(t, y, params)` on all lanes at once.
        params: whatever the field takes beside time and state.
        start: time, state, and the field there.
        h: step size of each lane; zero leaves a lane where it is.
        fill: whether the stages that only dense output needs are wanted.
    """
    t, y, f = start
    matrix, nodes, stages = tableau.matrix, tableau.nodes, tableau.stages
    slopes = [f]
    point = y
    for stage in range(1, stages):
        point = y + combine(matrix[stage], slopes, h)
        slopes.append(field(t + float(nodes[stage]) * h, point, params))
    if tableau.extra:
        slopes += jax.lax.cond(
            fill,
            lambda: _extra_stages(tableau, field, params, (t, y, slopes), h),
            lambda: [vary(jnp.zeros_like(y), varying_axes(slopes[-1]))] * len(tableau.extra),
        )
    return Step(point, jnp.stack(slopes))


def _extra_stages(tableau: Tableau, field: Field, params: Any, known, h: Float[Array, " lanes"]):
    """The stages beyond the step itself that the continuous extension needs."""
    t, y, slopes = known
    slopes = list(slopes)
    for stage in range(tableau.stages, tableau.stages + len(tableau.extra)):
        point = y + combine(tableau.matrix[stage], slopes, h)
        slopes.append(field(t + float(tableau.nodes[stage]) * h, point, params))
    return slopes[tableau.stages :]


def error_estimates(
    method: Method, step: Step, h: Float[Array, " lanes"]
) -> list[Float[Array, "lanes size"]]:
    """The embedded error estimates of a step: one, or two for the 8(5,3) pair."""
    slopes = list(step.slopes[: method.stages])
    rows = [method.b_error] + ([] if method.b_error_low is None else [method.b_error_low])
    return [combine(row, slopes, h) for row in rows]


def output_weights(
    method: Method, theta: Float[Array, " lanes"]
) -> tuple[Float[Array, "lanes stages"], Float[Array, "lanes stages"]]:
    """Weights of the stages in `y(theta) = y + h * sum_s w_s k_s`, and their derivative by theta.

    Args:
        theta: how far into the step, 0 to 1.
    """
    b, bridge = jnp.asarray(method.solution, theta.dtype), method.bridge
    degrees = jnp.arange(bridge.shape[1], dtype=theta.dtype)
    bridge = jnp.asarray(bridge, theta.dtype)
    powers = theta[:, None] ** degrees
    bump, slope = theta * (1 - theta), 1 - 2 * theta
    inner = powers @ bridge.T
    # degrees * theta**(degrees - 1), without a negative power of zero.
    inner_slope = (degrees[1:] * powers[:, :-1]) @ bridge[:, 1:].T
    weights = theta[:, None] * b + bump[:, None] * inner
    return weights, b + slope[:, None] * inner + bump[:, None] * inner_slope
