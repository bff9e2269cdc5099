"""What is compiled: from arguments that were read to a `Solution`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .adjoints import ADJOINTS, Choice
from .arguments import Args
from .clock import Clock
from .control import Controller
from .costs import costs
from .course import Course
from .dense import NO_GRADIENT, Dense, Interpolant, Pieces, interpolant_of, lanes_first, pieces_of
from .events import Events
from .extra import Extra, step_times
from .field import Field, Params, build_field
from .grid import Grid
from .implicit.by_diffrax import by_diffrax
from .loop import Outcome
from .progress import Meter
from .refusing import forward_only
from .rows import Rows, as_rows
from .segments import Breaks, Found, Plan, breaks_of, in_order, plan_for, solve_in_parts
from .sharding import vary, varying_axes
from .solution import Ending, Solution, Stats
from .status import succeeded
from .tableaus import ByDiffrax, Known, reversible
from .task import Rules, Task
from .times import Times


class Call(eqx.Module):
    """The static part of a solve."""

    tableau: Known = eqx.field(static=True)
    controller: Controller = eqx.field(static=True)
    choice: Choice = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    record_bytes: int = eqx.field(static=True)
    mask: bool = eqx.field(static=True)
    meter: Meter | None = eqx.field(static=True)
    extra: Extra = eqx.field(static=True)


class Posed(eqx.Module):
    """The problem, read and checked.

    Attributes:
        f: the vector field, `f(t, y, args)`.
        dt0, grid: of the steps, if given.
        tolerances: relative and absolute.
    """

    f: Any
    y0: Any
    args: Args
    times: Times
    dt0: Array | None
    grid: Grid | None
    tolerances: tuple[Array, Array]
    course: Course


@eqx.filter_jit
def run(call: Call, posed: Posed) -> Solution:
    """Solve."""
    axes = varying_axes(eqx.filter(posed, eqx.is_array))
    y0, values = vary(posed.y0, axes), _vary_arrays(posed.args.values, axes)
    args = posed.args._replace(values=values)
    rows, times = as_rows(y0, call.batched), posed.times
    # What the state is at the start needs no solve: often all that is left is its end.
    ts = _lanes_last(rows, times.elapsed[..., times.begins :], 1)
    task = Task(
        y0=rows.rows,
        t1=ts[-1],
        ts=ts,
        rtol=_lanes_last(rows, posed.tolerances[0]),
        atol=_lanes_last(rows, posed.tolerances[1]),
        dt0=_lanes_last(rows, posed.dt0),
        grid=_grid_of(rows, posed.grid),
    )
    task = vary(task, axes)
    clock = Clock(
        origin=_lanes_last(rows, times.t0),
        sign=times.sign or _lanes_last(rows, times.direction),
        ahead=_lanes_last(rows, posed.course.drive and posed.course.drive.ahead),
    )
    clock, rules = _vary_arrays(clock, axes), _rules(call, posed, rows)
    parts = (posed.f,) if callable(posed.f) else posed.f
    beside = posed.course.beside(rows)

    def build(clock: Clock, part: int = 0) -> tuple[Field, Params]:
        slope = posed.course.driven(parts[part])
        return build_field({"slope": slope, **beside}, rows, clock, args, axes)

    adjoint, events = ADJOINTS[call.choice.adjoint], None
    if rules.open_end:
        plan, breaks = _plan(posed.course, rows, clock, axes)
        outcome, stats, found, taken = solve_in_parts(
            plan, (rules, adjoint), build, (task, clock), breaks
        )
        events = _events(rows, clock, in_order(found, plan.capacity)) if rules.events else None
    else:
        if isinstance(rules.tableau, ByDiffrax):
            built = [build(clock, part) for part in range(len(parts))]
            outcome = by_diffrax(rules.tableau, rules, built, task, call.choice.adjoint)
        else:
            outcome = adjoint(rules, *build(clock), task)
        stats, taken = costs(rules, task, outcome.counts, outcome.alone), outcome.dense
    if times.begins:
        good = succeeded(outcome.status)
        # No gradient comes from a solve that failed.
        start = jnp.where(good, rows.rows, jax.lax.stop_gradient(rows.rows))
        outcome = outcome._replace(saved=outcome.saved.after(start))
    solution = _solution(call, rows, (task, times.ts, clock), outcome, stats)
    steps = None
    if call.extra.steps:
        steps = clock.origin + clock.directed(step_times(rules, *build(clock), task))
        steps = steps.T
    path = _interpolant(call, rules, (rows, clock, times.rest), taken)
    return replace(solution, events=events, interpolant=path, steps=steps)


def _grid_of(rows: Rows, grid: Grid | None) -> Grid | None:
    return None if grid is None else replace(grid, points=_lanes_last(rows, grid.points, 1))


def _lanes_last(rows: Rows, value: Array | None, tail: int = 0) -> Any:
    """What may have one entry a lane, with one for each, and the lanes last."""
    lanes = rows.rows.shape[1:]
    if value is None or not lanes:
        return value
    value = jnp.broadcast_to(value, (*lanes, *value.shape[value.ndim - tail :]))
    return jnp.moveaxis(value, 0, -1)


def _rules(call: Call, posed: Posed, rows: Rows) -> Rules:
    """How to step."""
    method: Any = call.tableau
    course = posed.course
    if call.choice.adjoint == "reversible":
        rounding = float(jnp.finfo(rows.rows.dtype).eps)
        grid = posed.grid
        method = reversible(method, grid.steps if grid else call.max_steps, rounding)
    return Rules(
        tableau=method,
        controller=call.controller,
        measured=call.extra.measured(rows.rows.shape[0]),
        max_steps=call.max_steps,
        record_bytes=call.record_bytes,
        meter=call.meter,
        events=tuple(event.direction for event in course.events),
        domain=course.domain is not None,
        dense=course.dense,
        open_end=course.in_parts,
        unrolled=call.choice.adjoint == "direct",
    )


def _plan(course: Course, rows: Rows, clock: Clock, axes: frozenset[str]) -> tuple[Plan, Breaks]:
    """How the solve is divided, and where."""
    nothing = jnp.zeros(0, rows.rows.dtype)
    points, elapsed, passed = vary(course.breaks or (nothing, nothing, None), axes)
    breaks = breaks_of(points, _lanes_last(rows, elapsed, 1), passed, clock)
    return plan_for(course.events, course.max_events, len(points), axes), breaks


def _interpolant(
    call: Call,
    rules: Rules,
    problem: tuple[Rows, Clock, Array | None],
    steps: Pieces | Dense | None,
) -> Interpolant | None:
    """Dense output, if it is wanted."""
    if steps is None:
        return None
    rows, clock, rest = problem
    pieces: Any = steps
    if isinstance(steps, Dense):
        pieces = lanes_first(pieces_of(steps, jnp.zeros_like(steps.times[0])))
    if call.choice.adjoint != "direct":
        pieces = forward_only(pieces, NO_GRADIENT)
    return interpolant_of(rules.tableau, pieces, clock, _lanes_last(rows, rest), rows.unravel)


def _events(rows: Rows, clock: Clock, found: tuple[Found, Int[Array, "*lanes"]]) -> Events:
    """Events in the user's terms."""
    happened, count = found
    elapsed = clock.directed(happened.t)
    leaves = happened.event, clock.origin + elapsed, elapsed
    which, ts, elapsed = (jnp.moveaxis(leaf, 0, -1) for leaf in leaves)
    return Events(ts, elapsed, _as_given(rows, happened.y), which, count)


def _vary_arrays(tree: Any, axes: frozenset[str]) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(vary(arrays, axes), rest)


def _as_given(rows: Rows, values: Float[Array, "times size *lanes"]) -> PyTree[Array]:
    """Many states in the user's structure, with lanes first."""
    if values.ndim == 2:
        return jax.vmap(rows.unravel)(values)
    return jax.vmap(jax.vmap(rows.unravel))(jnp.moveaxis(values, -1, 0))


def _solution(
    call: Call, rows: Rows, times: tuple[Task, Array, Clock], outcome: Outcome, stats: Stats
) -> Solution:
    values, (task, ts, clock) = outcome.saved.ys, times
    if call.mask:
        index = jnp.arange(values.shape[0]).reshape((-1,) + (1,) * (values.ndim - 1))
        last = jax.lax.stop_gradient(outcome.y)
        values = jnp.where(index >= outcome.saved.passed, last, values)
    ys = _as_given(rows, values)
    if call.batched:
        ts = jnp.broadcast_to(ts, (values.shape[-1], values.shape[0]))
    size = jnp.max(jnp.abs(outcome.y), axis=0, initial=0)
    length = jnp.maximum(jnp.sum(outcome.y**2, axis=0), jnp.finfo(size.dtype).tiny)
    growth = outcome.h * jnp.sum(outcome.y * outcome.f, axis=0) / length
    t, t1 = (clock.origin + clock.directed(elapsed) for elapsed in (outcome.t, task.t1))
    ending = Ending(t, t1, outcome.h, size, outcome.component, growth)
    ending = jax.lax.stop_gradient(ending)
    # Sums have no tangents where whole numbers have none: so a gradient can see what went wrong.
    status, stats = jax.tree.map(lambda count: count + 0, (outcome.status, stats))
    return Solution(ts, ys, status, stats, ending, call.tableau.name, *call.choice)
