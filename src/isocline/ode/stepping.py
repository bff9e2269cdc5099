"""How a method steps: what differs between the kinds of methods, in one place."""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .field import Bound, Params
from .implicit import Mode, rosenbrock_step, switching_pull, switching_step
from .reversible import reversible_pull, reversible_step
from .step import (
    Bars,
    Pulled,
    Start,
    Step,
    Taken,
    Wanted,
    runge_kutta_pull,
    runge_kutta_step,
    weigh,
)
from .symplectic import symplectic_step
from .tableaus import Method, Partitioned, Reversible, Rosenbrock, Switching, Tableau
from .written_out import is_written_out, written_out_pull, written_out_step


def rows_of(method: Method) -> int:
    """Rows of slopes that a step returns, those that only dense output needs included."""
    return method.stages + len(method.extra)


def note_rows(method: Method, between: bool) -> int:
    """Rows of notes that a pullback of a step needs; `between`: of dense output as well."""
    if isinstance(method, Reversible):
        return 0
    if isinstance(method, Switching):
        return max(method.explicit.stages - 1 + between, 2)
    return rows_of(method) - 1 + between if is_explicit(method) else 2


def is_explicit(method: Method) -> bool:
    """Whether it is an explicit Runge-Kutta method, whose notes are the points of its stages.

    Of other methods the start of a step is noted, and its pullback is found by JAX.
    """
    return type(method) is Tableau


def step_room(method: Method, y: Float[Array, "size *lanes"], noted: bool, between: bool) -> Step:
    """Empty room for steps from states like this.

    Args:
        noted: whether steps will be pulled back.
        between: whether values between their ends will be, too.
    """
    notes = jnp.zeros((note_rows(method, between), *y.shape), y.dtype) if noted else None
    return Step(y, jnp.zeros((rows_of(method), *y.shape), y.dtype), notes)


def pull_room(
    method: Method, end: Float[Array, "size *lanes"], params: Params, between: bool
) -> Pulled:
    """Empty room for pullbacks, with no cotangent of the parameters so far.

    Args:
        end: the last state of the solve.
        between: whether values between the ends of steps will be pulled back, too.
    """
    rows, zero = jnp.zeros((rows_of(method), *end.shape), end.dtype), jnp.zeros_like(end)
    nothing = jax.tree.map(jnp.zeros_like, params.inexact)
    points = end if isinstance(method, Reversible) else rows
    return Pulled(zero, zero, nothing, points, rows if between else None)


def take_step(
    method: Method,
    bound: Bound,
    start: Start,
    h: Float[Array, "*lanes"],
    wanted: Wanted,
    room: Step,
) -> Step:
    """One step of any method; arguments as in `runge_kutta_step`."""
    if is_explicit(method):
        tableau = cast(Tableau, method)
        written_out = is_written_out(tableau, bound, start.t, start.y)
        take = written_out_step if written_out else runge_kutta_step
        return take(tableau, bound, start, h, wanted, room)
    if isinstance(method, Switching):
        return switching_step(method, bound, start, h, room)
    notes = room.notes
    if notes is not None and notes.shape[0]:
        notes = jnp.stack([start.y, start.f])
    return Step(*_other_step(method, bound, start, h), notes)


def _other_step(
    method: Method, bound: Bound, start: Start, h: Float[Array, "*lanes"]
) -> tuple[Float[Array, "size *lanes"], Float[Array, "stages size *lanes"]]:
    """The new state and all stages, by a method that is not an explicit Runge-Kutta method."""
    if isinstance(method, Partitioned):
        return symplectic_step(method, bound, start, h)
    if isinstance(method, Reversible):
        return reversible_step(method, bound, start, h)
    if isinstance(method, Rosenbrock):
        return rosenbrock_step(method, bound, start, h)
    raise TypeError(f"there is no step for a method of type {type(method).__name__}.")


def pull_step(
    method: Method, bound: Bound, step: Taken, bars: Bars, wanted: Wanted, room: Pulled
) -> Pulled:
    """Cotangents back through one step of any method; arguments as in `runge_kutta_pull`."""
    if is_explicit(method):
        tableau = cast(Tableau, method)
        written_out = is_written_out(tableau, bound, step.t, bars.y)
        pull = written_out_pull if written_out else runge_kutta_pull
        return pull(tableau, bound, step, bars, wanted, room)
    if isinstance(method, Reversible):
        return reversible_pull(method, bound, step, bars, room)
    if isinstance(method, Switching):
        return switching_pull(method, bound, step, bars, room)

    def take(y: Array, f: Array, inexact: list[Any]) -> tuple[Array, Array]:
        again = Bound(bound.field, bound.params.replace(inexact))
        return _other_step(method, again, Start(step.t, y, f, step.stiff), step.h)

    (_, slopes), pull = jax.vjp(take, step.notes[0], step.notes[1], bound.params.inexact)
    slopes_bar = jnp.zeros_like(slopes) if bars.slopes is None else bars.slopes
    y_bar, f_bar, params_bar = pull((bars.y, slopes_bar.at[method.stages - 1].add(bars.f)))
    params_bar = jax.tree.map(jnp.add, room.params, params_bar)
    return Pulled(y_bar, f_bar, params_bar, room.points, None if room.slopes is None else slopes)


def first_mode(method: Method, y: Float[Array, "size *lanes"]) -> Mode | None:
    """What a method carries from step to step: nothing, but for a switching one."""
    return Mode.first(y) if isinstance(method, Switching) else None


class Cost(NamedTuple):
    """What steps (of each lane) cost: evaluations of the field, and of the Jacobian."""

    evaluations: Int[Array, "*lanes"]
    jacobians: Int[Array, "*lanes"]


def cost_of(method: Method, steps: Int[Array, "*lanes"], stiff: Int[Array, "*lanes"]) -> Cost:
    """What so many steps cost, without the extra stages of dense output.

    Args:
        stiff: of a switching method: how many of them the stiff one took.
    """
    if not isinstance(method, Switching):
        return Cost(steps * method.evaluations, steps * method.jacobians)
    explicit = steps - stiff
    return Cost(
        explicit * method.explicit.evaluations + stiff * method.stiff.evaluations,
        stiff * method.stiff.jacobians,
    )


def error_estimates(
    method: Method, step: Step, h: Float[Array, "*lanes"]
) -> list[Float[Array, "size *lanes"]]:
    """The embedded error estimates of a step: one, or two for the 8(5,3) pair."""
    rows = [method.b_error] + ([] if method.b_error_low is None else [method.b_error_low])
    return [h * weigh(row, step.slopes) for row in rows]


def last_slope(method: Method, step: Step) -> Float[Array, "size *lanes"]:
    """The field at the new point: the first stage of the next step."""
    return step.slopes[method.stages - 1]


def output_weights(
    method: Method, theta: Float[Array, "*lanes"]
) -> tuple[Float[Array, "stages *lanes"], Float[Array, "stages *lanes"]]:
    """Weights of the stages in `y(theta) = y + h * sum_s w_s k_s`, and their derivative by theta.

    Args:
        theta: how far into the step, 0 to 1.
    """
    b, bridge = method.solution, method.bridge
    b, bridge = jnp.asarray(b, theta.dtype), jnp.asarray(bridge, theta.dtype)
    inner, inner_slope = _horner(bridge, theta)
    column = (-1,) + (1,) * theta.ndim
    bump, slope, b = theta * (1 - theta), 1 - 2 * theta, b.reshape(column)
    weights = theta * b + bump * inner
    derivative = b + slope * inner + bump * inner_slope
    # At the end it is the field there; the stages that only output needs may be missing.
    last = (jnp.arange(rows_of(method)) == method.stages - 1).reshape(column)
    return weights, jnp.where(theta >= 1, last, derivative)


def _horner(coefficients: Any, x: Float[Array, "*lanes"]) -> tuple[Any, Any]:
    """Polynomials with these coefficients (lowest first, one row each), and their derivatives."""
    shape = (-1,) + (1,) * x.ndim
    value = slope = jnp.zeros((np.shape(coefficients)[0], *x.shape), x.dtype)
    for degree in reversed(range(np.shape(coefficients)[1])):
        slope = slope * x + value
        value = value * x + coefficients[:, degree].reshape(shape)
    return value, slope


def between(
    weights: Float[Array, "stages *lanes"], slopes: Float[Array, "stages size *lanes"]
) -> Float[Array, "size *lanes"]:
    """`sum_s weights[s] slopes[s]` where every lane has its own weights."""
    # Written out, because the batched dot product that einsum makes of it is many times slower.
    terms = [weight * slope for weight, slope in zip(weights, slopes, strict=True)]
    return functools.reduce(operator.add, terms)
