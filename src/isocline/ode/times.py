"""The times of a solve, checked as far as known: save times, start, direction, fixed steps."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..errors import InputError
from .arguments import is_traced, known, read_count
from .clock import rounded_off, since
from .grid import Grid
from .tableaus import Known

NEAR = 1e-5  # of the largest time: so far a grid may miss the ends of its solve


class Times(eqx.Module):
    """Save times, start, and the direction: static where it is known before tracing.

    Attributes:
        ts, t0: as the user gave them, in the dtype of the state.
        rest: what rounding to that has left of t0; None where nothing is known to be left.
        elapsed: how long after the start the save times are, in the direction of time. Where the
            user's numbers are known this is formed in double precision: far from t=0, float32 knows
            the differences still when it can not tell the times apart.
        begins: whether the first save time is the start by its definition, and others follow.
    """

    ts: Array
    t0: Array
    rest: Array | None
    elapsed: Array
    sign: float | None = eqx.field(static=True)
    direction: Array | None
    begins: bool = eqx.field(static=True)


def read_times(ts: Any, t0: Any, dtype: Any) -> Times:
    """Check what can be checked before tracing, and find the direction of time."""
    if ts.ndim not in (1, 2) or ts.shape[-1] == 0:
        raise InputError(
            f"ts must have shape (times,) or (batch, times) with at least one time; got {ts.shape}."
        )
    start = ts[..., 0] if t0 is None else t0
    known_ts, known_start = known(ts), known(start)
    sign = None
    if known_ts is not None and known_start is not None:
        sign = _common_sign(_path(known_start, known_ts))
    elapsed, begins = since(start, ts, dtype), t0 is None and ts.shape[-1] > 1
    rest = rounded_off(start, dtype)
    ts, start = jnp.asarray(ts, dtype), jnp.asarray(start, dtype)
    if sign is not None:
        return Times(ts, start, rest, sign * elapsed, sign, None, begins)
    direction = jnp.where(elapsed[..., -1] >= 0, 1, -1).astype(jnp.int32)
    elapsed = direction[..., None] * elapsed
    # What turns can not be refused any more, but must not pass for solved.
    goes_on = jnp.all(jnp.diff(elapsed, prepend=0, axis=-1) >= 0, axis=-1, keepdims=True)
    elapsed = jnp.where(goes_on, elapsed, jnp.nan)
    return Times(ts, start, rest, elapsed, None, direction, begins)


def doubted(times: Times, given: dict[str, Any]) -> Times:
    """The same times; NaN where a traced argument is wrong, so that it can not pass for solved.

    Args:
        given: `grid`, `dt0`, `rtol` and `atol` as they were given.
    """
    grid, good = given["grid"], []
    if grid is not None and is_traced((grid, times.t0, times.ts)):
        near = NEAR * jnp.maximum(jnp.max(jnp.abs(times.ts), axis=-1), jnp.abs(times.t0))
        goes_on, off = _course_of(jnp, grid, times.t0, times.ts)
        good.append(goes_on & (off <= near))
    for name in ("dt0", "rtol", "atol"):
        value = given[name]
        if value is not None and is_traced(value):
            good.append(jnp.isfinite(value) & ((value != 0) if name == "dt0" else (value >= 0)))
    if not good:
        return times
    sound = functools.reduce(jnp.logical_and, good)[..., None]
    return replace(times, elapsed=jnp.where(sound, times.elapsed, jnp.nan))


def _path(t0: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """The start and the save times in one row, or in one row a trajectory."""
    if not (np.isfinite(ts).all() and np.isfinite(t0).all()):
        raise InputError("ts and t0 must be finite numbers.")
    batch = np.broadcast_shapes(t0.shape, ts.shape[:-1])
    pieces = (np.broadcast_to(piece, (*batch, piece.shape[-1])) for piece in (t0[..., None], ts))
    return np.concatenate([piece.astype(np.float64) for piece in pieces], axis=-1)


def _common_sign(path: np.ndarray) -> float | None:
    """+1 or -1 if all rows run that way, None if each has its own way; InputError if one turns."""
    change = np.atleast_2d(np.diff(path, axis=-1))
    rises, falls = (change >= 0).all(axis=1), (change <= 0).all(axis=1)
    turning = np.flatnonzero(~rises & ~falls)
    if turning.size:
        lane = turning[0]
        row = f"{lane}, " if len(change) > 1 else ""
        raise InputError(
            f"t0 and ts must rise or fall together; they turn at ts[{row}{_turn(change[lane])}]."
        )
    return 1.0 if rises.all() else -1.0 if falls.all() else None


def _turn(change: np.ndarray) -> int:
    """The index of the first save time that goes against the direction so far."""
    signs = np.sign(change)
    first = signs[np.flatnonzero(signs)[0]]
    return int(np.flatnonzero(signs == -first)[0])


def read_first_step(dt0: Any, dtype: Any) -> Array | None:
    """The size of the first step; its sign does not matter, time runs where `ts` do."""
    seen = None if dt0 is None else known(dt0)
    if seen is not None and not (np.isfinite(seen).all() and (seen != 0).all()):
        raise InputError(f"dt0 must be finite and not zero; got {seen}.")
    return None if dt0 is None else jnp.abs(jnp.asarray(dt0, dtype))


def read_breakpoints(
    points: Any, start: Any, times: Times, counted: bool
) -> tuple[Array, Array, Array | None] | None:
    """Breakpoints in the user's time, as time since the start, and on the clock of a path.

    Args:
        points, start: as they were given.
        counted: whether there is a path with a clock of its own.
    """
    if points is None:
        return None
    seen = known(points)
    if points.ndim != 1 or (seen is not None and not np.isfinite(seen).all()):
        raise InputError(f"breakpoints must be finite times in one row, `(points,)`; got {points}.")
    dtype = times.ts.dtype
    sign = jnp.asarray(times.direction)[..., None] if times.sign is None else times.sign
    passed = since(start.ravel()[0], points, dtype) if counted else None
    return jnp.asarray(points, dtype), since(start, points, dtype) * sign, passed


def read_grid(
    tableau: Known, steps: int | None, grid: Any, times: Times, max_steps: int
) -> Grid | None:
    """The fixed steps, or None to adapt them."""
    if steps is not None and grid is not None:
        raise InputError("give steps= or grid=, not both.")
    if steps is not None:
        fixed = Grid(read_count("steps", steps))
    elif grid is not None:
        points = _named_steps(grid, times)
        fixed = Grid(points.shape[-1] - 1, points)
    elif tableau.adaptive:
        return None
    else:
        raise InputError(
            f"method={tableau.name!r} has no error estimate to choose steps: give steps= or grid=."
        )
    if fixed.steps > max_steps:
        raise InputError(f"max_steps={max_steps} must be at least the number of fixed steps.")
    return fixed


def _named_steps(grid: Any, times: Times) -> Array:
    """The grid as time since the start."""
    if grid.ndim < 1 or grid.shape[-1] < 2:
        raise InputError(f"grid needs at least two points; got shape {grid.shape}.")
    _check_grid(known(grid), known(times.t0), known(times.ts))
    elapsed = since(grid[..., 0], grid, times.ts.dtype)
    return elapsed * (times.sign or jnp.asarray(times.direction)[..., None])


def _check_grid(grid: np.ndarray | None, t0: np.ndarray | None, ts: np.ndarray | None) -> None:
    """Whether a grid leads from the start to the last save time, where all three are known."""
    if grid is None or t0 is None or ts is None:
        return
    goes_on, off = _course_of(np, grid, t0, ts)
    if not goes_on.all():
        raise InputError("grid must rise or fall with ts, and hold finite numbers only.")
    if (off > NEAR * np.max(np.abs(ts), initial=np.max(np.abs(t0)))).any():
        raise InputError("grid must begin at t0 (or the first of ts) and end at the last of ts.")


def _course_of(numbers: Any, grid: Any, t0: Any, ts: Any) -> tuple[Any, Any]:
    """Whether a grid rises or falls with ts, and how far it misses the start or the last of them.

    Args:
        numbers: NumPy, or JAX's for what is traced.
    """
    end = ts[..., -1]
    change = numbers.diff(grid, axis=-1) * numbers.where(end >= t0, 1, -1)[..., None]
    off = numbers.maximum(numbers.abs(grid[..., 0] - t0), numbers.abs(grid[..., -1] - end))
    return numbers.all(change >= 0, axis=-1), off
