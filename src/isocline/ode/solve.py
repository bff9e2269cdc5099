"""The front door: `solve(f, y0, ts, args)`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from .adjoints import ADJOINTS, Choice, Wish, choose
from .arguments import (
    check_lanes,
    choice,
    count_lanes,
    is_traced,
    read_args,
    read_array,
    read_controller,
    read_count,
    read_state,
    read_tolerances,
)
from .complex_state import Pairs, pairs_of
from .control import Controller
from .extra import Extra, step_times
from .field import Clock, as_rows, build_field
from .fitting import check_fit, field_parts
from .implicit.by_diffrax import by_diffrax
from .loop import Outcome, Rules, Task, cost, record_size
from .progress import Meter, Progress, read_meter
from .record import computed_again
from .refusing import in_words
from .sharding import vary, varying_axes
from .solution import Ending, Solution, SolveError, Stats
from .stepping import cost_of
from .tableaus import ByDiffrax, Known, Switching, find, reversible
from .times import read_first_step, read_grid, read_times


def solve(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    method: str | Known = "tsit5",
    rtol: Float[ArrayLike, "*batch"] = 1e-4,
    atol: Float[ArrayLike, "*batch"] = 1e-6,
    t0: Float[ArrayLike, "*batch"] | None = None,
    steps: int | None = None,
    grid: Float[ArrayLike, "*batch points"] | None = None,
    dt0: Float[ArrayLike, "*batch"] | None = None,
    controller: str | Controller = "I",
    adjoint: Literal["auto", "replay", "reversible", "backsolve", "forward", "direct"] = "auto",
    batch: Literal["coupled", "independent"] = "coupled",
    args_axes: PyTree[int | None] = None,
    max_steps: int = 4096,
    record_bytes: int = 2**22,
    on_failure: Literal["raise", "mask", "return"] = "raise",
    progress: bool | Callable[[Progress], Any] = False,
    _extra: Extra = Extra(),  # noqa: B008 - immutable; for our own tools
) -> Solution:
    """Solve `dy/dt = f(t, y, args)` and give the state at the times `ts`.

    Works inside `jax.jit`, `jax.grad`, `jax.vmap` and `jax.shard_map`. Values are read from the
    method's continuous extension: save times never shorten a step.

    Args:
        f: the vector field, `f(t, y, args)` or `f(t, y)`; returns the structure and shapes of `y`.
            Arrays that it closes over, or holds as an Equinox module, get gradients as well.
        y0: the initial state, any pytree of real or complex arrays (of a complex number, real and
            imaginary part each keep to the tolerance). Double if its arrays are, else single.
        ts: the save times, rising or falling, repeats allowed; `(batch, times)` gives each
            independent trajectory its own.
        args: passed on to `f`.
        method: a name of `isocline.ode.METHODS` or a `Tableau`. "leapfrog" and its kin are for
            separable systems only: `y0=(position, momentum)`, where the slope of each depends on
            the other and on time, and not on itself.
        rtol, atol: error per step is kept below `atol + rtol * |y|` in root mean square; one
            number, or one for each independent trajectory. An rtol that the dtype cannot resolve
            is raised to what it can, with a warning.
        t0: the time of `y0`; the first save time if not given.
        steps: take this many equal steps instead of adapting them.
        grid: take exactly these steps, from the first to the last of `ts`: `(points,)`.
        dt0: the first step size to try; estimated from two evaluations if not given.
        controller: "I", "PI", "PID" or a `Controller`.
        adjoint: how gradients are formed: "replay" (exact, memory grows with the number of steps),
            "reversible" (exact, memory of the times of the steps only, twice the evaluations),
            "backsolve" (the paper's continuous adjoint, constant memory), "forward" (for `jax.jvp`
            and `jax.jacfwd`), "direct" (to any order, few steps). "auto" is "replay", or
            "reversible" where so many fixed steps are too much to keep.
        batch: "coupled": one step size for everything in `y0`. "independent": every leaf of `y0`
            has a leading axis of trajectories; `f` sees one of them, and each has its own steps,
            status and counts.
        args_axes: for independent trajectories, 0 for leaves of `args` with one entry a trajectory
            and None for shared ones, as `in_axes` of `jax.vmap` (a prefix of `args` will do).
        max_steps: attempts at a step before a trajectory gives up.
        record_bytes: what the states that "replay" keeps may take, about. Of a solve with more
            steps it keeps every second, fourth, ... state, and computes the others again.
        on_failure: "raise" a SolveError (under `jit` nothing can be raised: look at `status`),
            "return" what there is with NaN at times not reached, or "mask" these with the last
            state. The gradient through a failed trajectory is zero.
        progress: True shows a bar on the standard error while a long solve goes on; a function gets
            a `Progress` now and then. (Many trajectories are solved a bunch at a time, and each
            bunch begins anew.)

    Returns:
        A `Solution` with `ts`, `ys`, `status`, `stats` and `explain()`.

    Raises:
        InputError: an argument does not fit; the message names it (a ValueError as well).
        SolveError: a trajectory failed, outside `jit`, with `on_failure="raise"`.
    """
    tableau, controller, meter = find(method), read_controller(controller), read_meter(progress)
    batched = choice("batch", batch, ("coupled", "independent")) == "independent"
    choice("on_failure", on_failure, ("raise", "mask", "return"))
    asked = choice("adjoint", adjoint, ("auto", *ADJOINTS))
    counts = {"max_steps": max_steps, "record_bytes": record_bytes}
    max_steps, record_bytes = (read_count(name, value) for name, value in counts.items())
    arrays = {"ts": ts, "t0": t0, "grid": grid, "dt0": dt0, "rtol": rtol, "atol": atol}
    given = {name: read_array(name, value) for name, value in arrays.items()}
    pairs = pairs_of(y0)
    y0, dtype = read_state(y0 if pairs is None else pairs.real(y0))
    check_fit(tableau, asked, meter, y0)
    lanes = count_lanes(y0, batched)
    axes = {name: (value, int(name in ("ts", "grid"))) for name, value in given.items()}
    check_lanes(lanes, axes)
    times = read_times(given["ts"], given["t0"], dtype)
    grid = read_grid(tableau, steps, given["grid"], times, max_steps)
    tolerances = read_tolerances(given["rtol"], given["atol"], dtype)
    fixed = None if grid is None else grid.shape[-1] - 1
    state = None if batched else sum(leaf.nbytes for leaf in jax.tree.leaves(y0))
    wish = Wish(tableau, fixed, times.ts.shape[-1], state, max_steps, record_bytes)
    call = _Call(
        tableau=tableau,
        controller=controller,
        choice=choose(asked, wish),
        batched=batched,
        max_steps=max_steps,
        record_bytes=record_bytes,
        mask=on_failure == "mask",
        meter=meter,
        extra=_extra,
    )
    clocks = times, grid, read_first_step(given["dt0"], dtype)
    parts, args_and_axes = field_parts(f, tableau, pairs), read_args(args, args_axes, lanes)
    solution = _told(call, (parts, y0, clocks, tolerances, args_and_axes), pairs)
    return _raise_failure(solution) if on_failure == "raise" else solution


def _told(call: _Call, problem: tuple[Any, ...], pairs: Pairs | None) -> Solution:
    """The solution in the user's own terms, and what JAX can not do with it in words."""
    try:
        solution = _solve(call, *problem)
    except (TypeError, ValueError) as error:
        raise in_words(error) from None
    return solution if pairs is None else replace(solution, ys=pairs.complex(solution.ys))


def _raise_failure(solution: Solution) -> Solution:
    """The solution, if all went well or nothing is known yet."""
    if not is_traced(solution.status) and not bool(jnp.all(solution.success)):
        raise SolveError(solution.explain(), solution)
    return solution


class _Call(eqx.Module):
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


@eqx.filter_jit
def _solve(call: _Call, f: Any, y0: Any, clocks: Any, tolerances: Any, args: Any) -> Solution:
    times, grid, dt0 = clocks
    axes = varying_axes(eqx.filter((f, y0, clocks, tolerances, args[0]), eqx.is_array))
    y0, args = vary(y0, axes), (_vary_arrays(args[0], axes), args[1])
    rows = as_rows(y0, call.batched)
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
        rtol=lanes_last(tolerances[0]),
        atol=lanes_last(tolerances[1]),
        dt0=lanes_last(dt0),
        grid=lanes_last(grid, 1),
    )
    task = vary(task, axes)
    clock = Clock(lanes_last(times.t0), times.sign or lanes_last(times.direction))
    fields = (f,) if callable(f) else f
    built = [build_field(part, rows, _vary_arrays(clock, axes), args, axes) for part in fields]
    method: Any = call.tableau
    if call.choice.adjoint == "reversible":
        method = reversible(method)
    measured = call.extra.measured(rows.rows.shape[0])
    rules = Rules(method, call.controller, measured, call.max_steps, call.record_bytes, call.meter)
    if isinstance(method, ByDiffrax):
        outcome = by_diffrax(method, rules, built, task, call.choice.adjoint)
    else:
        outcome = ADJOINTS[call.choice.adjoint](rules, *built[0], task)
    solution = _solution(call, rules, task, rows, (outcome, times.ts, clock))
    if not call.extra.steps:
        return solution
    steps = clock.origin + clock.sign * step_times(rules, *built[0], task)
    return replace(solution, steps=steps.T)


def _vary_arrays(tree: Any, axes: frozenset[str]) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(vary(arrays, axes), rest)


def _solution(
    call: _Call, rules: Rules, task: Task, rows: Any, found: tuple[Outcome, Array, Clock]
) -> Solution:
    outcome, ts, clock = found
    values = outcome.saved.ys
    if call.mask:
        times = jnp.arange(values.shape[0]).reshape((-1,) + (1,) * (values.ndim - 1))
        last = jax.lax.stop_gradient(outcome.y)
        values = jnp.where(times >= outcome.saved.passed, last, values)
    if call.batched:
        ys = jax.vmap(jax.vmap(rows.unravel))(jnp.moveaxis(values, -1, 0))
        ts = jnp.broadcast_to(ts, (values.shape[-1], values.shape[0]))
    else:
        ys = jax.vmap(rows.unravel)(values)
    stats = _stats(rules, task, outcome)
    size = jnp.max(jnp.abs(outcome.y), axis=0, initial=0)
    length = jnp.maximum(jnp.sum(outcome.y**2, axis=0), jnp.finfo(size.dtype).tiny)
    growth = outcome.h * jnp.sum(outcome.y * outcome.f, axis=0) / length
    t, t1 = (clock.origin + clock.sign * elapsed for elapsed in (outcome.t, task.t1))
    ending = Ending(t, t1, outcome.h, size, outcome.component, growth)
    ending = jax.lax.stop_gradient(ending)
    return Solution(ts, ys, outcome.status, stats, ending, rules.tableau.name, *call.choice)


def _stats(rules: Rules, task: Task, outcome: Outcome) -> Stats:
    """What the solve cost (in each lane)."""
    counts, method = outcome.counts, rules.tableau
    if isinstance(method, ByDiffrax):
        unknown = jnp.full_like(counts.accepted, -1)
        return Stats(unknown, counts.accepted, counts.rejected, unknown, unknown)
    again = computed_again(record_size(rules, task), counts.accepted)
    # Who took the steps that are computed again is not counted: as if the stiff method had.
    stiff = counts.stiff_accepted + (again if isinstance(method, Switching) else 0)
    backward = cost_of(method, counts.accepted + again, stiff).evaluations
    backward += counts.replayed * len(method.extra) + 1
    spent = cost(rules, task, counts)
    return Stats(spent.evaluations, counts.accepted, counts.rejected, backward, spent.jacobians)
