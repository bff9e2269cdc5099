"""Inputs: functions of time that drive a solve, from values at given times."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..errors import InputError
from .arguments import is_traced, known, read_array
from .clock import rounded_off, since
from .drive import Drive


class Path(eqx.Module):
    """Values at times, and a rule for what is between: `path(t)` for a single time t.

    Attributes:
        ts: rising times.
        rest: what is left of them where single precision has rounded plain numbers: far from t=0 it
            can not tell them apart. None where nothing is.
        values: any pytree of arrays with the axis of times first; differentiable.
    """

    ts: eqx.AbstractVar[Float[Array, " times"]]
    rest: eqx.AbstractVar[Float[Array, " times"] | None]
    values: eqx.AbstractVar[PyTree[Array]]

    @property
    def times(self) -> Float[Array | np.ndarray, " times"]:
        """The times as they were given; in double precision, unless they are traced."""
        if is_traced((self.ts, self.rest)):
            return self.ts
        ts = np.asarray(self.ts, np.float64)
        return ts if self.rest is None else ts + np.asarray(self.rest, np.float64)

    @property
    def breakpoints(self) -> Float[Array | np.ndarray, " points"] | None:
        """Where no step of a solve may reach across; None if there are none."""
        return None

    def __call__(self, t: Float[ArrayLike, ""]) -> PyTree[Array]:
        """The value at a time; before the first time and after the last it stays what it was."""
        if self.rest is None or is_traced((t, self.ts)) or isinstance(t, jax.Array):
            return self.at(jnp.asarray(t))
        return self.since(t).at(jnp.zeros((), self.ts.dtype))

    @abc.abstractmethod
    def at(self, t: Float[Array, ""]) -> PyTree[Array]:
        """The same, at a time that JAX holds."""

    def since(self, start: Any, dtype: Any = jnp.float32) -> Self:
        """The same path with time counted from a start, which is to be known as the path is.

        Args:
            dtype: the least precise one for its times.
        """
        ts = since(np.asarray(start), self.times, jnp.promote_types(self.ts.dtype, dtype))
        return eqx.tree_at(lambda path: (path.ts, path.rest), self, (ts, None), is_leaf=_is_none)

    def _length(self, index: Any) -> Array:
        """How long pieces are."""
        length = self.ts[index + 1] - self.ts[index]
        return length if self.rest is None else length + self.rest[index + 1] - self.rest[index]

    def _began(self, t: Any, last: int) -> Array:
        """Which of the times up to the `last` began t."""
        # Rounded as the breakpoints of a solve are, so that both agree what is before and after.
        ts = self.ts.astype(t.dtype) if jnp.issubdtype(t.dtype, jnp.floating) else self.ts
        return jnp.clip(jnp.searchsorted(ts, t, side="right") - 1, 0, last)

    def _piece(self, t: Any) -> tuple[Array, Array, Array]:
        """Which piece holds t, where in it (0 to 1), and how long it is."""
        index = self._began(t, self.ts.shape[0] - 2)
        length, gone = self._length(index), t - self.ts[index]
        gone = gone if self.rest is None else gone - self.rest[index]
        return index, jnp.clip(gone / length, 0, 1), length


class ConstantPath(Path):
    """From each time on its value holds, up to the next time: steps end at these times."""

    ts: Float[Array, " times"]
    rest: Float[Array, " times"] | None
    values: PyTree[Array]

    def __init__(self, ts: Float[ArrayLike, " times"], values: PyTree[ArrayLike]):
        self.ts, self.rest, self.values = _read(ts, values, 1)

    @property
    def breakpoints(self) -> Float[Array | np.ndarray, " points"] | None:
        """The times after the first."""
        return self.times[1:]

    def at(self, t: Float[Array, ""]) -> PyTree[Array]:
        """The value that began last; before the first time it is the first."""
        index = self._began(t, self.ts.shape[0] - 1)
        return jax.tree.map(lambda leaf: leaf[index], self.values)


class LinearPath(Path):
    """Straight lines from value to value. With `kinks=True` steps end at the times."""

    ts: Float[Array, " times"]
    rest: Float[Array, " times"] | None
    values: PyTree[Array]
    kinks: bool = eqx.field(static=True)

    def __init__(
        self, ts: Float[ArrayLike, " times"], values: PyTree[ArrayLike], kinks: bool = False
    ):
        self.ts, self.rest, self.values = _read(ts, values, 2)
        self.kinks = kinks

    @property
    def breakpoints(self) -> Float[Array | np.ndarray, " points"] | None:
        """The times, if they are to be."""
        return self.times if self.kinks else None

    def at(self, t: Float[Array, ""]) -> PyTree[Array]:
        """On the line; outside of the times it is the value at the nearer end."""
        index, place, _ = self._piece(t)

        def value(leaf: Array) -> Array:
            start, end = leaf[index], leaf[index + 1]
            return start + place.astype(leaf.dtype) * (end - start)

        return jax.tree.map(value, self.values)


class HermitePath(Path):
    """Cubics from value to value with a continuous slope.

    Without `slopes` they are backward differences, which know nothing of later values (Morrill et
    al. 2022, "On the choice of interpolation scheme for neural CDEs"), so that a forecast does not
    see what it is to forecast.
    """

    ts: Float[Array, " times"]
    rest: Float[Array, " times"] | None
    values: PyTree[Array]
    slopes: PyTree[Array]

    def __init__(
        self,
        ts: Float[ArrayLike, " times"],
        values: PyTree[ArrayLike],
        slopes: PyTree[ArrayLike] | None = None,
    ):
        self.ts, self.rest, self.values = _read(ts, values, 2)
        if slopes is not None:
            self.slopes = _read(ts, slopes, 2)[-1]
            if jax.tree.map(jnp.shape, self.slopes) != jax.tree.map(jnp.shape, self.values):
                raise InputError("the slopes of a path must have the structure of its values.")
            return

        lengths = self._length(jnp.arange(self.ts.shape[0] - 1))

        def backward(leaf: Array) -> Array:
            column = lengths.reshape((-1,) + (1,) * (leaf.ndim - 1))
            differences = jnp.diff(leaf, axis=0) / column
            return jnp.concatenate([differences[:1], differences])

        self.slopes = jax.tree.map(backward, self.values)

    def at(self, t: Float[Array, ""]) -> PyTree[Array]:
        """On the cubic; outside of the times it is the value at the nearer end."""
        index, place, length = self._piece(t)

        def value(leaf: Array, slope: Array) -> Array:
            x, h = place.astype(leaf.dtype), length.astype(leaf.dtype)
            start, rise = leaf[index], leaf[index + 1] - leaf[index]
            first, last = h * slope[index] - rise, rise - h * slope[index + 1]
            return start + x * rise + x * (1 - x) * ((1 - x) * first + x * last)

        return jax.tree.map(value, self.values, self.slopes)


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _read(ts: Any, values: Any, least: int) -> tuple[Array, Array | None, PyTree[Array]]:
    """Times, what rounding left of them, and values of a path, as arrays.

    Raises:
        InputError: times do not rise, values do not fit them, or something is not finite.
    """
    ts = read_array("ts of a path", ts)
    if ts.ndim != 1 or ts.shape[0] < least:
        raise InputError(f"ts of a path must be a row of at least {least} times; got {ts.shape}.")
    seen = known(ts)
    if seen is not None and not (np.isfinite(seen).all() and (np.diff(seen) > 0).all()):
        raise InputError("ts of a path must rise, each later than the one before, and be finite.")
    _check_values(values, ts.shape[0])
    values = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf, jnp.float32)), values
    )
    dtype = jnp.result_type(ts, jnp.float32)
    # Plain numbers stay known under `jit`, so that a solve can take its start from them.
    with jax.ensure_compile_time_eval():
        return jnp.asarray(ts, dtype), rounded_off(ts, dtype), values


def _check_values(values: Any, count: int) -> None:
    leaves = jax.tree.leaves(values)
    if not leaves:
        raise InputError("a path has no values.")
    for leaf in leaves:
        shape = jnp.shape(leaf)
        if shape[:1] != (count,):
            raise InputError(
                f"values of a path must have {count} entries, one for each of ts; got an "
                f"array of shape {shape}."
            )
        if not is_traced(leaf) and not np.isfinite(np.asarray(leaf)).all():
            raise InputError(
                "values of a path must be finite: fill gaps, or leave out their times."
            )


class _TakingInputs(eqx.Module):
    """`f(t, y, args, u)` as a function of three arguments, as fields are in all else."""

    f: Callable

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        return self.f(t, y, *args)


def taking_inputs(f: Callable, inputs: Any) -> Callable:
    """The field as one of three arguments, the last of them `(args, u)` if there are inputs.

    Raises:
        InputError: the inputs are no function of time.
    """
    if inputs is None:
        return f
    if not callable(inputs):
        raise InputError(
            f"inputs={inputs!r} must be a path, as LinearPath(ts, values), or a function of t."
        )
    if not callable(f):
        raise InputError("inputs= goes with a field in one piece, f(t, y, args, u).")
    return _TakingInputs(f)


def read_drive(inputs: Any, start: Any, dtype: Any) -> Drive | None:
    """The inputs; a path with time counted from the start, where both are plain numbers.

    Args:
        start: of the solve, as it was given; one a trajectory, perhaps.
        dtype: of the state.
    """
    if inputs is None:
        return None
    if not isinstance(inputs, Path) or is_traced((start, inputs.ts, inputs.rest)):
        return Drive(inputs, None, counted=False)
    start = np.asarray(start)
    first = start.ravel()[0]
    ahead = since(first, start, dtype) if start.ndim else None
    return Drive(inputs.since(first, dtype), ahead, counted=True)


def with_breakpoints(breakpoints: Any, inputs: Any) -> Any:
    """All breakpoints: those that were given, and those that the inputs bring along."""
    own = getattr(inputs, "breakpoints", None)
    if own is None or breakpoints is None:
        return breakpoints if own is None else own
    points = np if not is_traced((own, breakpoints)) else jnp
    return points.concatenate([points.atleast_1d(points.asarray(breakpoints)), own])
