"""The front door: `solve(f, y0, ts, args)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .adjoints import ADJOINTS
from .control import CONTROLLERS, Controller
from .field import Params, as_rows, build_field, three_arguments
from .loop import Rules, State, Task, evaluations
from .sharding import vary, varying_axes
from .solution import Ending, Solution, SolveError, Stats
from .status import Status
from .tableaus import Tableau, find


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
    max_steps: int = 4096,
    on_failure: Literal["raise", "mask", "return"] = "raise",
) -> Solution:
    """Solve `dy/dt = f(t, y, args)` and give the state at the times `ts`.

    Works inside `jax.jit`, `jax.grad`, `jax.vmap` and `jax.shard_map`. Values are read from the method's
    continuous extension: save times never shorten a step.

    Args:
        f: the vector field, `f(t, y, args)` or `f(t, y)`; returns the structure and shapes of `y`.
            Arrays that it closes over, or holds as an Equinox module, get gradients as well.
        y0: the initial state, any pytree of real arrays. float64 if its arrays are, else float32.
        ts: the save times, rising or falling, repeats allowed; `(batch, times)` gives each
            independent trajectory its own.
        args: passed on to `f`.
        method: a name of `isocline.ode.METHODS` or a `Tableau`.
        rtol, atol: error per step is kept below `atol + rtol * |y|` in root mean square; one number,
            or one for each independent trajectory.
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
        on_failure: "raise" a SolveError (under `jit` nothing can be raised: look at `status`),
            "return" what there is with NaN at times not reached, or "mask" these with the last state.
            The gradient through a failed trajectory is zero.

    Returns:
        A `Solution` with `ts`, `ys`, `status`, `stats` and `explain()`.

    Raises:
        ValueError: an argument does not fit; the message names it.
        SolveError: a trajectory failed, outside `jit`, with `on_failure="raise"`.
    """
    tableau = find(method)
    batched = _choice("batch", batch, ("coupled", "independent")) == "independent"
    _choice("on_failure", on_failure, ("raise", "mask", "return"))
    adjoint = "replay" if _choice("adjoint", adjoint, ("auto", *ADJOINTS)) == "auto" else adjoint
    controller = CONTROLLERS[_choice("controller", controller, tuple(CONTROLLERS))] if isinstance(controller, str) else controller
    y0, dtype = _state(y0)
    _check_batch(y0, batched, {"ts": (ts, 1), "grid": (grid, 1), "t0": (t0, 0), "dt0": (dt0, 0), "rtol": (rtol, 0), "atol": (atol, 0)})
    times = _times(ts, t0, dtype)
    grid = _grid(tableau, steps, grid, times, dtype)
    if max_steps < 1 or (grid is not None and grid.shape[-1] - 1 > max_steps):
        raise ValueError(f"max_steps={max_steps} must be at least 1 and at least the number of fixed steps.")
    call = _Call(tableau, controller, adjoint, batched, max_steps, on_failure == "mask", times.sign)
    args = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, args)
    axes = _args_axes(args, args_axes)
    tolerances = jnp.asarray(rtol, dtype), jnp.asarray(atol, dtype)
    _check_tolerances(tolerances)
    dt0 = None if dt0 is None else jnp.abs(jnp.asarray(dt0, dtype))
    _check_first_step(dt0)
    solution = _solve(call, three_arguments(f), y0, (times.ts, times.t0, times.direction, grid, dt0), tolerances, (args, axes))
    if on_failure == "raise" and not isinstance(solution.status, jax.core.Tracer):
        if not bool(jnp.all(solution.success)):
            raise SolveError(solution.explain(), solution)
    return solution


class _Call(eqx.Module):
    """The static part of a solve."""

    tableau: Tableau = eqx.field(static=True)
    controller: Controller = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    batched: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    mask: bool = eqx.field(static=True)
    sign: float | None = eqx.field(static=True)


class _Times(eqx.Module):
    """Save times, start, and the direction: static where it is known before tracing."""

    ts: Array
    t0: Array
    sign: float | None
    direction: Array | None


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r} is not known; choose one of: {', '.join(choices)}.")
    return value


def _state(y0: Any) -> tuple[Any, Any]:
    """The state as real floating arrays of one dtype: float64 if any leaf is, else float32."""
    leaves = jax.tree.leaves(y0)
    if not leaves:
        raise ValueError("y0 holds no array.")
    for leaf in leaves:
        if jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating):
            raise ValueError("y0 is complex; pass its real and imaginary part as a pair, (y.real, y.imag).")
    dtype = jnp.result_type(*[leaf for leaf in leaves if hasattr(leaf, "dtype")] or [jnp.float32], jnp.float32)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), y0), dtype


def _concrete(value: Any) -> np.ndarray | None:
    """The value as a NumPy array, or None while it is being traced."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))
    return None if traced else np.asarray(value)


def _times(ts: Any, t0: Any, dtype: Any) -> _Times:
    """Check what can be checked before tracing, and find the direction of time."""
    if jnp.ndim(ts) not in (1, 2) or jnp.shape(ts)[-1] == 0:
        raise ValueError(f"ts must have shape (times,) or (batch, times) with at least one time; got {jnp.shape(ts)}.")
    known_ts = _concrete(ts)
    ts = jnp.asarray(ts, dtype) if known_ts is None else ts
    start = t0 if t0 is not None else ts[..., 0] if known_ts is None else known_ts[..., 0]
    known_t0 = _concrete(start)
    ts, start = jnp.asarray(ts, dtype), jnp.asarray(start, dtype)
    if known_ts is None or known_t0 is None:
        direction = jnp.where(ts[..., -1] >= start, 1, -1).astype(jnp.int32)
        return _Times(ts, start, None, direction)
    if not (np.isfinite(known_ts).all() and np.isfinite(known_t0).all()):
        raise ValueError("ts and t0 must be finite numbers.")
    batch = np.broadcast_shapes(known_t0.shape, known_ts.shape[:-1])
    pieces = known_t0[..., None], known_ts
    path = np.concatenate([np.broadcast_to(piece, (*batch, piece.shape[-1])) for piece in pieces], axis=-1)
    change = np.diff(path.astype(np.float64), axis=-1)
    if (change >= 0).all():
        return _Times(ts, start, 1.0, None)
    if (change <= 0).all():
        return _Times(ts, start, -1.0, None)
    rows = np.atleast_2d(change)
    if all((row >= 0).all() or (row <= 0).all() for row in rows):
        return _Times(ts, start, None, jnp.where(ts[..., -1] >= start, 1, -1).astype(jnp.int32))
    lane = next(index for index, row in enumerate(rows) if (row > 0).any() and (row < 0).any())
    where = f"ts[{lane}, {_turn(rows[lane])}]" if len(rows) > 1 else f"ts[{_turn(rows[0])}]"
    raise ValueError(f"t0 and ts must rise or fall together; they turn at {where}.")


def _turn(change: np.ndarray) -> int:
    """The index of the first save time that goes against the direction so far."""
    signs = np.sign(change)
    first = signs[np.flatnonzero(signs)[0]]
    return int(np.flatnonzero(signs == -first)[0])


def _grid(tableau: Tableau, steps: int | None, grid: Any, times: _Times, dtype: Any) -> Any:
    """The grid of fixed steps, or None to adapt them."""
    if steps is not None and grid is not None:
        raise ValueError("give steps= or grid=, not both.")
    if steps is not None:
        if steps < 1:
            raise ValueError(f"steps={steps} must be at least 1.")
        span = (times.ts[..., -1] - times.t0)[..., None]
        return times.t0[..., None] + span * jnp.linspace(0, 1, steps + 1, dtype=dtype)
    if grid is not None:
        if jnp.ndim(grid) < 1 or jnp.shape(grid)[-1] < 2:
            raise ValueError("grid needs at least two points.")
        _check_grid(_concrete(grid), _concrete(times.t0), _concrete(times.ts))
        return jnp.asarray(grid, dtype)
    if not tableau.adaptive:
        raise ValueError(f"method={tableau.name!r} has no error estimate to choose steps by: give steps= or grid=.")
    return None


def _check_grid(grid: np.ndarray | None, t0: np.ndarray | None, ts: np.ndarray | None) -> None:
    if grid is None or t0 is None or ts is None:
        return
    change = np.diff(grid, axis=-1) * np.where(ts[..., -1:] >= t0[..., None], 1, -1)
    if not (change >= 0).all():
        raise ValueError("grid must rise or fall with ts, and hold finite numbers only.")
    scale = 1e-5 * np.max(np.abs(ts), initial=np.max(np.abs(t0)))
    if (np.abs(grid[..., 0] - t0) > scale).any() or (np.abs(grid[..., -1] - ts[..., -1]) > scale).any():
        raise ValueError("grid must begin at t0 (or the first of ts) and end at the last of ts.")


def _check_first_step(dt0: Array | None) -> None:
    known = None if dt0 is None else _concrete(dt0)
    if known is not None and not (np.isfinite(known).all() and (known > 0).all()):
        raise ValueError(f"dt0 must be finite and not zero; got {known}.")


def _check_batch(y0: Any, batched: bool, values: dict[str, tuple[Any, int]]) -> None:
    """Whether y0 and what may have a lane axis agree on the number of trajectories."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(y0)]
    if batched and not (all(shapes) and len({shape[0] for shape in shapes}) == 1 and shapes[0][0] > 0):
        raise ValueError(f"y0 must have one axis of trajectories, first in every leaf, for batch='independent'; got {shapes}.")
    for name, (value, tail) in values.items():
        if value is None or jnp.ndim(value) <= tail:
            continue
        if not batched:
            raise ValueError(f"{name} has shape {jnp.shape(value)}: one a trajectory needs batch='independent'.")
        if jnp.ndim(value) != tail + 1 or jnp.shape(value)[0] != shapes[0][0]:
            raise ValueError(f"{name} has shape {jnp.shape(value)}, but y0 holds {shapes[0][0]} trajectories.")


def _check_tolerances(tolerances: tuple[Array, Array]) -> None:
    for name, value in zip(("rtol", "atol"), tolerances, strict=True):
        known = _concrete(value)
        if known is not None and not (np.isfinite(known).all() and (known >= 0).all()):
            raise ValueError(f"{name} must be finite and not negative; got {known}.")
    known = [_concrete(value) for value in tolerances]
    if all(value is not None for value in known) and not np.all(known[0] + known[1] > 0):
        raise ValueError("rtol and atol must not both be zero.")


def _args_axes(args: Any, axes: Any) -> tuple[int | None, ...]:
    """One entry for each array leaf of args: 0 if it has an axis of trajectories."""
    arrays = eqx.filter(args, eqx.is_array)
    # -1 stands for None, which JAX would take for an empty branch of the tree.
    spread = jax.tree.map(
        lambda axis, tree: jax.tree.map(lambda _: -1 if axis is None else axis, tree),
        axes, arrays, is_leaf=lambda leaf: leaf is None,
    )
    known = {-1: None, 0: 0}
    if not set(jax.tree.leaves(spread)) <= set(known):
        raise ValueError(f"args_axes={axes!r} must hold 0 or None only.")
    return tuple(known[axis] for axis in jax.tree.leaves(spread))


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
    field, params = build_field(f, rows, task.t0, args, vary(sign, axes) if direction is not None else sign, axes)
    rules = Rules(call.tableau, call.controller, None, call.max_steps)
    state = ADJOINTS[call.adjoint](rules, field, params, task)
    return _solution(call, rules, task, rows, (state, ts, scale))


def _vary_arrays(tree: Any, axes: frozenset[str]) -> Any:
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(vary(arrays, axes), rest)


def _solution(call: _Call, rules: Rules, task: Task, rows: Any, outcome: tuple[State, Array, Array]) -> Solution:
    state, ts, scale = outcome
    values = state.saved.ys
    if call.mask:
        missing = jnp.arange(task.ts.shape[1]) >= state.saved.count[:, None]
        values = jnp.where(missing[:, :, None], jax.lax.stop_gradient(state.y)[:, None], values)
    ys = jax.vmap(jax.vmap(rows.unravel))(values)
    ys, ts = (ys, jnp.broadcast_to(ts, task.ts.shape)) if call.batched else (jax.tree.map(lambda leaf: leaf[0], ys), ts)
    squeeze = (lambda leaf: leaf) if call.batched else (lambda leaf: leaf[0])
    counts = state.counts
    backward = counts.accepted * rules.tableau.evaluations + counts.filled * len(rules.tableau.extra) + 1
    stats = Stats(evaluations(rules, task, counts), counts.accepted, counts.rejected, backward)
    size = jnp.max(jnp.abs(state.y), axis=1, initial=0)
    ending = jax.lax.stop_gradient(Ending(state.t * scale, state.h, size, state.component))
    stats, ending, status = jax.tree.map(squeeze, (stats, ending, state.status))
    return Solution(ts, ys, status, stats, ending, rules.tableau.name, call.adjoint)
