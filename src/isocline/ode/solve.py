"""The front door: `solve(f, y0, ts, args)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..errors import InputError
from .adjoints import ADJOINTS
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
from .control import Controller
from .field import as_rows, build_field, three_arguments
from .implicit.by_diffrax import by_diffrax
from .loop import Rules, State, Task, cost
from .record import computed_again, rows_for
from .sharding import vary, varying_axes
from .solution import Ending, Solution, SolveError, Stats
from .stepping import cost_of
from .tableaus import ByDiffrax, Known, Tableau, find
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
    adjoint: Literal["auto", "replay", "backsolve", "forward"] = "auto",
    batch: Literal["coupled", "independent"] = "coupled",
    args_axes: PyTree[int | None] = None,
    max_steps: int = 4096,
    record_bytes: int = 2**22,
    on_failure: Literal["raise", "mask", "return"] = "raise",
) -> Solution:
    """Solve `dy/dt = f(t, y, args)` and give the state at the times `ts`.

    Works inside `jax.jit`, `jax.grad`, `jax.vmap` and `jax.shard_map`. Values are read from the
    method's continuous extension: save times never shorten a step.

    Args:
        f: the vector field, `f(t, y, args)` or `f(t, y)`; returns the structure and shapes of `y`.
            Arrays that it closes over, or holds as an Equinox module, get gradients as well.
        y0: the initial state, any pytree of real arrays. float64 if its arrays are, else float32.
        ts: the save times, rising or falling, repeats allowed; `(batch, times)` gives each
            independent trajectory its own.
        args: passed on to `f`.
        method: a name of `isocline.ode.METHODS` or a `Tableau`.
        rtol, atol: error per step is kept below `atol + rtol * |y|` in root mean square; one
            number, or one for each independent trajectory. An rtol that the dtype cannot resolve
            is raised to what it can, with a warning.
        t0: the time of `y0`; the first save time if not given.
        steps: take this many equal steps instead of adapting them.
        grid: take exactly these steps, from the first to the last of `ts`: `(points,)`.
        dt0: the first step size to try; estimated from two evaluations if not given.
        controller: "I", "PI", "PID" or a `Controller`.
        adjoint: how gradients are formed: "replay" (exact, memory grows with the number of steps),
            "backsolve" (the paper's continuous adjoint, constant memory), "forward" (for `jax.jvp`
            and `jax.jacfwd`). "auto" is "replay".
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

    Returns:
        A `Solution` with `ts`, `ys`, `status`, `stats` and `explain()`.

    Raises:
        InputError: an argument does not fit; the message names it (a ValueError as well).
        SolveError: a trajectory failed, outside `jit`, with `on_failure="raise"`.
    """
    tableau, controller = find(method), read_controller(controller)
    parts = _parts(f, tableau)
    batched = choice("batch", batch, ("coupled", "independent")) == "independent"
    choice("on_failure", on_failure, ("raise", "mask", "return"))
    chosen = choice("adjoint", adjoint, ("auto", *ADJOINTS))
    if chosen == "backsolve" and not isinstance(tableau, Tableau):
        raise InputError(
            f"adjoint='backsolve' has no way with method={tableau.name!r}: run backwards, a stiff "
            "equation blows up. Use adjoint='replay'."
        )
    max_steps = read_count("max_steps", max_steps)
    record_bytes = read_count("record_bytes", record_bytes)
    given = {"ts": ts, "t0": t0, "grid": grid, "dt0": dt0, "rtol": rtol, "atol": atol}
    given = {name: read_array(name, value) for name, value in given.items()}
    y0, dtype = read_state(y0)
    lanes = count_lanes(y0, batched)
    check_lanes(
        lanes, {name: (value, int(name in ("ts", "grid"))) for name, value in given.items()}
    )
    times = read_times(given["ts"], given["t0"], dtype)
    grid = read_grid(tableau, steps, given["grid"], times, max_steps)
    tolerances = read_tolerances(given["rtol"], given["atol"], dtype)
    call = _Call(
        tableau=tableau,
        controller=controller,
        adjoint="replay" if chosen == "auto" else chosen,
        batched=batched,
        max_steps=max_steps,
        record_bytes=record_bytes,
        mask=on_failure == "mask",
        sign=times.sign,
    )
    clocks = times.ts, times.t0, times.direction, grid, read_first_step(given["dt0"], dtype)
    args_and_axes = read_args(args, args_axes, lanes)
    solution = _solve(call, parts, y0, clocks, tolerances, args_and_axes)
    return _raise_failure(solution) if on_failure == "raise" else solution


def _parts(f: Any, method: Known) -> Any:
    """The field as `f(t, y, args)`, or the pair of them that an IMEX method takes."""
    pairs = isinstance(method, ByDiffrax) and method.pairs
    if callable(f) and not pairs:
        return three_arguments(f)
    if pairs and isinstance(f, tuple) and len(f) == 2 and all(map(callable, f)):
        return tuple(map(three_arguments, f))
    if pairs:
        raise InputError(
            f"method={method.name!r} takes f as a pair, (explicit part, implicit part); for a "
            "field in one piece use 'kvaerno5' or 'rodas5p'."
        )
    raise InputError(
        f"f must be a function f(t, y, args); got {f!r}. A pair (explicit part, implicit part) is "
        "for method='kencarp3', 'kencarp4' and 'kencarp5'."
    )


def _raise_failure(solution: Solution) -> Solution:
    """The solution, if all went well or nothing is known yet."""
    if not is_traced(solution.status) and not bool(jnp.all(solution.success)):
        raise SolveError(solution.explain(), solution)
    return solution


class _Call(eqx.Module):
    """The static part of a solve."""

    tableau: Known = eqx.field(static=True)
    controller: Controller = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    record_bytes: int = eqx.field(static=True)
    mask: bool = eqx.field(static=True)
    sign: float | None = eqx.field(static=True)


@eqx.filter_jit
def _solve(call: _Call, f: Any, y0: Any, times: Any, tolerances: Any, args: Any) -> Solution:
    ts, t0, direction, grid, dt0 = times
    axes = varying_axes(eqx.filter((f, y0, times, tolerances, args[0]), eqx.is_array))
    y0, args = vary(y0, axes), (_vary_arrays(args[0], axes), args[1])
    rows = as_rows(y0, call.batched)
    lanes = rows.rows.shape[0]
    sign = call.sign if direction is None else jnp.broadcast_to(direction, (lanes,))
    scale = jnp.asarray(sign, rows.rows.dtype)

    def clock(value: Any, tail: int = 0) -> Any:
        """A time of the user's as one a lane, running forward."""
        value = jnp.broadcast_to(value, (lanes, *jnp.shape(value)[jnp.ndim(value) - tail :]))
        return value * (scale if scale.ndim == 0 else scale.reshape((-1,) + (1,) * tail))

    task = Task(
        y0=rows.rows,
        t0=clock(t0),
        t1=clock(ts[..., -1]),
        ts=clock(ts, 1),
        rtol=jnp.broadcast_to(tolerances[0], (lanes,)),
        atol=jnp.broadcast_to(tolerances[1], (lanes,)),
        dt0=None if dt0 is None else jnp.broadcast_to(dt0, (lanes,)),
        grid=None if grid is None else clock(grid, 1),
    )
    task = vary(task, axes)
    sign = vary(sign, axes) if direction is not None else sign
    parts = (f,) if callable(f) else f
    built = [build_field(part, rows, task.t0, args, sign, axes) for part in parts]
    rules = Rules(call.tableau, call.controller, None, call.max_steps, call.record_bytes)
    if isinstance(call.tableau, ByDiffrax):
        state = by_diffrax(call.tableau, rules, built, task, call.adjoint)
    else:
        state = ADJOINTS[call.adjoint](rules, *built[0], task)
    return _solution(call, rules, task, rows, (state, ts, scale))


def _vary_arrays(tree: Any, axes: frozenset[str]) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(vary(arrays, axes), rest)


def _solution(
    call: _Call, rules: Rules, task: Task, rows: Any, outcome: tuple[State, Array, Array]
) -> Solution:
    state, ts, scale = outcome
    values = state.saved.ys
    if call.mask:
        missing = jnp.arange(task.ts.shape[1]) >= state.saved.passed[:, None]
        values = jnp.where(missing[:, :, None], jax.lax.stop_gradient(state.y)[:, None], values)
    ys = jax.vmap(jax.vmap(rows.unravel))(values)
    ys, ts = (
        (ys, jnp.broadcast_to(ts, task.ts.shape))
        if call.batched
        else (jax.tree.map(lambda leaf: leaf[0], ys), ts)
    )
    squeeze = (lambda leaf: leaf) if call.batched else (lambda leaf: leaf[0])
    stats = _stats(rules, task, state)
    size = jnp.max(jnp.abs(state.y), axis=1, initial=0)
    ends = state.t * scale, task.t1 * scale
    ending = jax.lax.stop_gradient(Ending(*ends, state.h, size, state.component))
    stats, ending, status = jax.tree.map(squeeze, (stats, ending, state.status))
    return Solution(ts, ys, status, stats, ending, rules.tableau.name, call.adjoint)


def _stats(rules: Rules, task: Task, state: State) -> Stats:
    """What the solve cost, one number a lane."""
    counts = state.counts
    if isinstance(rules.tableau, ByDiffrax):
        unknown = jnp.full_like(counts.accepted, -1)
        return Stats(unknown, counts.accepted, counts.rejected, unknown, unknown)
    again = computed_again(
        rows_for(rules.capacity(task), task.y0, rules.record_bytes), counts.accepted
    )
    steps = counts.accepted + again
    filled = counts.replayed if task.ts.shape[1] > 1 else 0
    # Who took the steps that are computed again is not counted: as if the stiff method had.
    stiff = None if state.mode is None else state.mode.accepted + again
    backward = cost_of(rules.tableau, steps, stiff).evaluations
    backward += filled * len(rules.tableau.extra) + 1
    spent = cost(rules, task, state)
    return Stats(spent.evaluations, counts.accepted, counts.rejected, backward, spent.jacobians)
