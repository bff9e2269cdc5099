"""The front door: `solve(f, y0, ts, args)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float, PyTree

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
from .events import Event, read_events
from .field import three_arguments
from .run import Call, Posed, run
from .segments import check_steps_are_free
from .solution import Solution, SolveError
from .symplectic import check_partitioned
from .tableaus import Tableau, find
from .times import read_breakpoints, read_first_step, read_grid, read_times


def solve(
    f: Callable[..., PyTree],
    y0: PyTree[ArrayLike],
    ts: Float[ArrayLike, "*batch times"],
    args: PyTree = None,
    *,
    method: str | Tableau = "tsit5",
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
    events: Event | Sequence[Event] | None = None,
    max_events: int | None = None,
    breakpoints: Float[ArrayLike, " points"] | None = None,
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
            "backsolve" (the paper's continuous adjoint, constant memory), "forward" (for `jax.jvp`
            and `jax.jacfwd`). "auto" is "replay".
        batch: "coupled": one step size for everything in `y0`. "independent": every leaf of `y0`
            has a leading axis of trajectories; `f` sees one of them, and each has its own steps,
            status and counts.
        args_axes: for independent trajectories, 0 for leaves of `args` with one entry a trajectory
            and None for shared ones, as `in_axes` of `jax.vmap` (a prefix of `args` will do).
        events: an `Event` or several: the solve ends there, or notes it, or goes on from another
            state. Save times after an end hold NaN.
        max_events: how many events are kept; 32, or all where each event is to end the solve.
        breakpoints: times where the field jumps or has a kink: no step reaches across.
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
    batched = choice("batch", batch, ("coupled", "independent")) == "independent"
    choice("on_failure", on_failure, ("raise", "mask", "return"))
    chosen = choice("adjoint", adjoint, ("auto", *ADJOINTS))
    max_steps = read_count("max_steps", max_steps)
    record_bytes = read_count("record_bytes", record_bytes)
    given = {"ts": ts, "t0": t0, "grid": grid, "dt0": dt0, "rtol": rtol, "atol": atol}
    given = {name: read_array(name, value) for name, value in given.items()}
    y0, dtype = read_state(y0)
    check_partitioned(tableau, chosen, y0)
    lanes = count_lanes(y0, batched)
    check_lanes(
        lanes, {name: (value, int(name in ("ts", "grid"))) for name, value in given.items()}
    )
    times = read_times(given["ts"], given["t0"], dtype)
    events = read_events(events)
    start = given["ts"][..., 0] if t0 is None else given["t0"]
    breaks = read_breakpoints(read_array("breakpoints", breakpoints), start, times)
    if max_events is not None:
        max_events = read_count("max_events", max_events)
    check_steps_are_free(steps is None and grid is None, events, breaks)
    posed = Posed(
        f=three_arguments(f),
        y0=y0,
        args=read_args(args, args_axes, lanes),
        times=times,
        dt0=read_first_step(given["dt0"], dtype),
        grid=read_grid(tableau, steps, given["grid"], times, max_steps),
        tolerances=read_tolerances(given["rtol"], given["atol"], dtype),
        breaks=breaks,
        events=events,
    )
    call = Call(
        tableau=tableau,
        controller=controller,
        adjoint="replay" if chosen == "auto" else chosen,
        batched=batched,
        max_steps=max_steps,
        record_bytes=record_bytes,
        mask=on_failure == "mask",
        max_events=max_events,
    )
    solution = run(call, posed)
    return _raise_failure(solution) if on_failure == "raise" else solution


def _raise_failure(solution: Solution) -> Solution:
    """The solution, if all went well or nothing is known yet."""
    if not is_traced(solution.status) and not bool(jnp.all(solution.success)):
        raise SolveError(solution.explain(), solution)
    return solution
