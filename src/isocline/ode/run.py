"""What is compiled: from arguments that were read to a `Solution`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .adjoints import ADJOINTS
from .clock import Clock
from .control import Controller
from .costs import costs
from .events import CONDITIONS, JUMPS, Conditions, Event, Events, Jumps
from .field import Field, Params, build_field
from .loop import Outcome, Rules, Task
from .rows import Rows, as_rows
from .segments import breaks_of, in_order, plan_for, solve_in_parts
from .sharding import vary, varying_axes
from .solution import Ending, Solution, Stats
from .tableaus import Tableau
from .times import Times


class Call(eqx.Module):
    """The static part of a solve."""

    tableau: Tableau = eqx.field(static=True)
    controller: Controller = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    record_bytes: int = eqx.field(static=True)
    mask: bool = eqx.field(static=True)
    max_events: int | None = eqx.field(static=True)


class Posed(eqx.Module):
    """The problem, read and checked.

    Attributes:
        f: the vector field, `f(t, y, args)`.
        args: the user's args, and for each array in them 0 (one a trajectory) or None.
        dt0, grid: of the steps, if given.
        tolerances: relative and absolute.
        breaks: breakpoints, in the user's time and as time since the start, if given.
    """

    f: Any
    y0: Any
    args: tuple[Any, tuple[int | None, ...]]
    times: Times
    dt0: Array | None
    grid: Array | None
    tolerances: tuple[Array, Array]
    breaks: tuple[Array, Array] | None
    events: tuple[Event, ...]


@eqx.filter_jit
def run(call: Call, posed: Posed) -> Solution:
    """Solve."""
    axes = varying_axes(eqx.filter(posed, eqx.is_array))
    y0, args = vary(posed.y0, axes), (_vary_arrays(posed.args[0], axes), posed.args[1])
    rows, times = as_rows(y0, call.batched), posed.times
    lanes = rows.rows.shape[1:]

    def lanes_last(value: Array | None, tail: int = 0) -> Any:
        """What may have one entry a lane, with one for each, and the lanes last."""
        if value is None or not call.batched:
            return value
        value = jnp.broadcast_to(value, (*lanes, *value.shape[value.ndim - tail :]))
        return jnp.moveaxis(value, 0, -1)

    ts = lanes_last(times.elapsed, 1)
    task = Task(
        y0=rows.rows,
        t1=ts[-1],
        ts=ts,
        rtol=lanes_last(posed.tolerances[0]),
        atol=lanes_last(posed.tolerances[1]),
        dt0=lanes_last(posed.dt0),
        grid=lanes_last(posed.grid, 1),
    )
    task = vary(task, axes)
    clock = Clock(lanes_last(times.t0), times.sign or lanes_last(times.direction))
    clock = _vary_arrays(clock, axes)
    functions = {"slope": posed.f}
    if posed.events:
        functions[CONDITIONS] = Conditions(posed.events)
        functions[JUMPS] = Jumps(posed.events, rows.ravel)

    def build(clock: Clock) -> tuple[Field, Params]:
        return build_field(functions, rows, clock, args, axes)

    rules = Rules(
        tableau=call.tableau,
        controller=call.controller,
        measured=None,
        max_steps=call.max_steps,
        record_bytes=call.record_bytes,
        events=tuple(event.direction for event in posed.events),
        open_end=bool(posed.events) or posed.breaks is not None,
    )
    adjoint = ADJOINTS[call.adjoint]
    if not rules.open_end:
        outcome = adjoint(rules, *build(clock), task)
        stats = costs(rules, task, outcome.counts)
        return _solution(call, rows, (times.ts, clock), outcome, stats)
    points, elapsed = posed.breaks or (jnp.zeros(0, ts.dtype), jnp.zeros(0, ts.dtype))
    breaks = breaks_of(points, lanes_last(elapsed, 1), clock)
    plan = plan_for(posed.events, call.max_events, points.shape[0], axes)
    problem = task, clock
    outcome, stats, found = solve_in_parts(
        plan, (rules, adjoint), build, problem, vary(breaks, axes)
    )
    solution = _solution(call, rows, (times.ts, clock), outcome, stats)
    if not posed.events:
        return solution
    happened, count = in_order(found, plan.capacity)
    event_ts = clock.origin + clock.directed(happened.t)
    which, event_ts = (jnp.moveaxis(leaf, 0, -1) for leaf in (happened.event, event_ts))
    happened = Events(event_ts, _as_given(rows, happened.y), which, count)
    return eqx.tree_at(lambda s: s.events, solution, happened, is_leaf=lambda leaf: leaf is None)


def _vary_arrays(tree: Any, axes: frozenset[str]) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(vary(arrays, axes), rest)


def _as_given(rows: Rows, values: Float[Array, "times size *lanes"]) -> PyTree[Array]:
    """Many states in the user's structure, with lanes first."""
    if values.ndim == 2:
        return jax.vmap(rows.unravel)(values)
    return jax.vmap(jax.vmap(rows.unravel))(jnp.moveaxis(values, -1, 0))


def _solution(
    call: Call, rows: Rows, times: tuple[Array, Clock], outcome: Outcome, stats: Stats
) -> Solution:
    values, (ts, clock) = outcome.saved.ys, times
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
    t = clock.origin + clock.directed(outcome.t)
    ending = jax.lax.stop_gradient(Ending(t, outcome.h, size, outcome.component, growth))
    return Solution(ts, ys, outcome.status, stats, ending, call.tableau.name, call.adjoint)
