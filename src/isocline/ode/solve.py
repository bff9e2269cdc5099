"""The front door: `solve(f, y0, ts, args)`."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike, Float, PyTree

from .adjoints import ADJOINTS, Wish, choose
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
    with_numbers,
)
from .complex_state import Complex, Pairs, pairs_of
from .control import Controller
from .course import Wanted, check_course, read_course
from .events import Event
from .extra import Extra
from .fitting import check_fit, field_parts
from .inputs import taking_inputs
from .progress import Progress, read_meter
from .ragged import filled, taken_out
from .refusing import in_words
from .run import Call, Posed, run
from .solution import Solution, SolveError
from .tableaus import Known, find
from .times import doubted, read_first_step, read_grid, read_times

# What JAX raises where Python has to know a number that is traced.
NOT_KNOWN = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
# Fields that have to know the plain numbers in args, so that not every solve tries in vain.
_KNOWING: deque[Any] = deque(maxlen=32)


def solve(  # noqa: PLR0913 - the front door
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
    events: Event | Sequence[Event] | None = None,
    max_events: int | None = None,
    breakpoints: Float[ArrayLike, " points"] | None = None,
    inputs: Callable[[Any], PyTree] | None = None,
    domain: str | tuple[PyTree, PyTree] | Callable[..., Any] | None = None,
    dense: bool = False,
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
            independent trajectory its own. Rows may be lists of different lengths, and times may be
            masked (`numpy.ma`): what there is not is NaN in `ts` and `ys`.
        args: passed on to `f`. Plain numbers that are not whole come as arrays, unless `f` has to
            know them: another value does not compile anew.
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
            "reversible" (exact to two thirds of the digits, memory of the times of the steps only,
            twice the evaluations, for fields that contract little),
            "backsolve" (the paper's continuous adjoint, constant memory), "forward" (for `jax.jvp`
            and `jax.jacfwd`), "direct" (to any order, few steps). "auto" is "replay", which says
            how often it computes fixed steps again.
        batch: "coupled": one step size for everything in `y0`. "independent": every leaf of `y0`
            has a leading axis of trajectories; `f` sees one of them, and each has its own steps,
            status and counts.
        args_axes: for independent trajectories, 0 for leaves of `args` with one entry a trajectory
            and None for shared ones, as `in_axes` of `jax.vmap` (a prefix of `args` will do).
        events: an `Event` or several: the solve ends there, or notes it, or goes on from another
            state. Save times after an end hold NaN.
        max_events: how many events are kept; 32, or all where each event is to end the solve.
        breakpoints: times where the field jumps or has a kink: no step reaches across.
        inputs: a path, as `LinearPath(ts, values)`: the field is `f(t, y, args, u)` with the value
            u of the path at t. A `ConstantPath` brings its breakpoints along.
        domain: what the state must not leave: "positive", a pair `(low, high)` of bounds (numbers,
            None, or shaped like y0), or a function `(t, y, args) -> bool`. A step whose end or
            saved values lie outside is halved; if that does not help the trajectory ends. (What
            `interpolant` gives between its steps is not looked at.)
        dense: give the whole solution as a function of time, `solution.interpolant`. It has room
            for max_steps steps with all their stages (for twice as many where the solve may go on
            after a breakpoint or an event); those that only dense output needs are evaluated in
            every step.
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
    ts, there = filled(ts)
    arrays = {"ts": ts, "t0": t0, "grid": grid, "dt0": dt0, "rtol": rtol, "atol": atol}
    given = {name: read_array(name, value) for name, value in arrays.items()}
    pairs = pairs_of(y0)
    y0, dtype = read_state(y0 if pairs is None else pairs.real(y0))
    check_fit(tableau, asked, meter, y0)
    lanes = count_lanes(y0, batched)
    axes = {name: (value, int(name in ("ts", "grid"))) for name, value in given.items()}
    check_lanes(lanes, axes)
    times = doubted(read_times(given["ts"], given["t0"], dtype), given)
    more = Wanted(events, max_events, breakpoints, inputs, domain, dense)
    course = read_course(more, (y0, pairs), (given, times))
    stepping = read_grid(tableau, steps, given["grid"], times, max_steps)
    asked = check_course(tableau, asked, stepping is not None, course)
    fixed = None if stepping is None else stepping.steps
    state = None if batched else sum(leaf.nbytes for leaf in jax.tree.leaves(y0))
    wish = Wish(tableau, fixed, course.looks_between(times), state, max_steps, record_bytes)
    why, mask = choose(asked, wish), on_failure == "mask"
    controls = tableau, controller, why, batched, max_steps, record_bytes, mask, meter, _extra
    parts = field_parts(taking_inputs(f, inputs), tableau, pairs)
    tolerances = read_tolerances(given["rtol"], given["atol"], dtype)
    first, arguments = read_first_step(given["dt0"], dtype), read_args(args, args_axes, lanes)
    posed = Posed(parts, y0, arguments, times, first, stepping, tolerances, course)
    solution = taken_out(_told(Call(*controls), posed, pairs), None if mask else there, batched)
    return _raise_failure(solution) if on_failure == "raise" else solution


def _run(call: Call, posed: Posed) -> Solution:
    """The solution; where f has to know the plain numbers in args, as in `if rate > 0`, it does."""
    args = with_numbers(posed.args)
    if not any(args.plain):
        return run(call, posed)
    parts = tuple(filter(callable, jax.tree.leaves(posed.f))), jax.tree.structure(posed.f)
    if parts not in _KNOWING:
        with contextlib.suppress(*NOT_KNOWN):
            return run(call, replace(posed, args=args))
        _KNOWING.append(parts)
    return run(call, posed)


def _told(call: Call, posed: Posed, pairs: Pairs | None) -> Solution:
    """The solution in the user's own terms, and what JAX can not do with it in words."""
    try:
        solution = _run(call, posed)
    except (TypeError, ValueError) as error:
        raise in_words(error) from None
    if pairs is None:
        return solution
    happened, path = solution.events, solution.interpolant
    if path is not None:
        path = replace(path, unravel=Complex(path.unravel, pairs))
    if happened is not None:
        happened = replace(happened, ys=pairs.complex(happened.ys))
    return replace(solution, ys=pairs.complex(solution.ys), events=happened, interpolant=path)


def _raise_failure(solution: Solution) -> Solution:
    """The solution, if all went well or nothing is known yet."""
    if not is_traced(solution.status) and not bool(jnp.all(solution.success)):
        raise SolveError(solution.explain(), solution)
    return solution
