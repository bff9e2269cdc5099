"""What is compiled: from arguments that were read to a `Solution`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .adjoints import ADJOINTS, Choice
from .clock import Clock
from .control import Controller
from .costs import costs
from .dense import NO_GRADIENT, interpolant_of
from .domain import INSIDE
from .events import CONDITIONS, JUMPS, Conditions, Event, Events, Jumps
from .extra import Extra, step_times
from .field import Field, Params, build_field
from .implicit.by_diffrax import by_diffrax
from .loop import Outcome, Rules, Task
from .progress import Meter
from .refusing import forward_only
from .rows import Rows, as_rows
from .segments import Found, breaks_of, in_order, plan_for, solve_in_parts
from .sharding import vary, varying_axes
from .solution import Ending, Solution, Stats
from .tableaus import ByDiffrax, Known, reversible
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
    max_events: int | None = eqx.field(static=True)
    dense: bool = eqx.field(static=True)
    meter: Meter | None = eqx.field(static=True)
    extra: Extra = eqx.field(static=True)


class Posed(eqx.Module):
    """The problem, read and checked.

    Attributes:
        f: the vector field, `f(t, y, args)`.
        args: the user's args, and for each array in them 0 (one a trajectory) or None.
        dt0, grid: of the steps, if given.
        tolerances: relative and absolute.
        breaks: breakpoints, in the user's time and as time since the start, if given.
        domain: says of (t, y, args) whether that is allowed, if given.
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
    domain: Callable | None


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
    rules = _rules(call, posed, rows)
    parts = (posed.f,) if callable(posed.f) else posed.f
    functions: list[dict[str, Any]] = [{"slope": part} for part in parts]
    if posed.events:
        functions[0] |= {
            CONDITIONS: Conditions(posed.events),
            JUMPS: Jumps(posed.events, rows.ravel),
        }

    if posed.domain is not None:
        functions[0][INSIDE] = posed.domain

    def build(clock: Clock, part: int = 0) -> tuple[Field, Params]:
        return build_field(functions[part], rows, clock, args, axes)

    adjoint, ended = ADJOINTS[call.choice.adjoint], None
    if isinstance(rules.tableau, ByDiffrax):
        built = [build(clock, part) for part in range(len(parts))]
        outcome = by_diffrax(rules.tableau, rules, built, task, call.choice.adjoint)
        stats = costs(rules, task, outcome.counts)
    elif rules.open_end:
        breaks = posed.breaks or (jnp.zeros(0, ts.dtype), jnp.zeros(0, ts.dtype))
        elapsed = vary(lanes_last(breaks[1], 1), axes)
        plan = plan_for(posed.events, call.max_events, len(breaks[0]), axes)
        met = breaks_of(vary(breaks[0], axes), elapsed, clock)
        outcome, stats, found = solve_in_parts(plan, (rules, adjoint), build, (task, clock), met)
        ended = _events(rows, clock, in_order(found, plan.capacity)) if posed.events else None
    else:
        outcome = adjoint(rules, *build(clock), task)
        stats = costs(rules, task, outcome.counts)
    solution = _solution(call, rows, (task, times.ts, clock), outcome, stats)
    if call.extra.steps:
        steps = clock.origin + clock.directed(step_times(rules, *build(clock), task))
        return replace(solution, steps=steps.T)
    path = None
    if outcome.dense is not None:
        direct = call.choice.adjoint == "direct"
        kept = outcome.dense if direct else forward_only(outcome.dense, NO_GRADIENT)
        path = interpolant_of(rules.tableau, kept, clock, rows.unravel)
    return replace(solution, events=ended, interpolant=path)


def _rules(call: Call, posed: Posed, rows: Rows) -> Rules:
    """How to step."""
    method: Any = call.tableau
    return Rules(
        tableau=reversible(method) if call.choice.adjoint == "reversible" else method,
        controller=call.controller,
        measured=call.extra.measured(rows.rows.shape[0]),
        max_steps=call.max_steps,
        record_bytes=call.record_bytes,
        meter=call.meter,
        events=tuple(event.direction for event in posed.events),
        domain=posed.domain is not None,
        dense=call.dense,
        open_end=bool(posed.events) or posed.breaks is not None,
    )


def _events(rows: Rows, clock: Clock, found: tuple[Found, Int[Array, "*lanes"]]) -> Events:
    """Events in the user's terms."""
    happened, count = found
    ts = clock.origin + clock.directed(happened.t)
    which, ts = (jnp.moveaxis(leaf, 0, -1) for leaf in (happened.event, ts))
    return Events(ts, _as_given(rows, happened.y), which, count)


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
    return Solution(ts, ys, outcome.status, stats, ending, call.tableau.name, *call.choice)
