"""Inputs: functions of time that drive a solve, from values at given times."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from ..errors import InputError
from .arguments import is_traced, known, read_array


class Path(eqx.Module):
    """Values at times, and a rule for what is between: `path(t)` for a single time t.

    Attributes:
        ts: rising times.
        values: any pytree of arrays with the axis of times first; differentiable.
    """

    ts: eqx.AbstractVar[Float[Array, " times"]]
    values: eqx.AbstractVar[PyTree[Array]]

    @property
    def breakpoints(self) -> Array | None:
        """Where no step of a solve may reach across; None if there are none."""
        return None

    @abc.abstractmethod
    def __call__(self, t: Float[ArrayLike, ""]) -> PyTree[Array]:
        """The value at a time; before the first time and after the last it stays what it was."""

    def _began(self, t: Any, last: int) -> Array:
        """Which of the times up to the `last` began t."""
        # Rounded as the breakpoints of a solve are, so that both agree what is before and after.
        t = jnp.asarray(t)
        ts = self.ts.astype(t.dtype) if jnp.issubdtype(t.dtype, jnp.floating) else self.ts
        return jnp.clip(jnp.searchsorted(ts, t, side="right") - 1, 0, last)

    def _piece(self, t: Any) -> tuple[Array, Array, Array]:
        """Which piece holds t, where in it (0 to 1), and how long it is."""
        index = self._began(t, self.ts.shape[0] - 2)
        length = self.ts[index + 1] - self.ts[index]
        return index, jnp.clip((t - self.ts[index]) / length, 0, 1), length


class ConstantPath(Path):
    """From each time on its value holds, up to the next time: steps end at these times."""

    ts: Float[Array, " times"]
    values: PyTree[Array]

    def __init__(self, ts: Float[ArrayLike, " times"], values: PyTree[ArrayLike]):
        self.ts, self.values = _read(ts, values, 1)

    @property
    def breakpoints(self) -> Array | None:
        """The times after the first."""
        return self.ts[1:]

    def __call__(self, t: Float[ArrayLike, ""]) -> PyTree[Array]:
        """The value that began last; before the first time it is the first."""
        index = self._began(t, self.ts.shape[0] - 1)
        return jax.tree.map(lambda leaf: leaf[index], self.values)


class LinearPath(Path):
    """Straight lines from value to value. With `kinks=True` steps end at the times."""

    ts: Float[Array, " times"]
    values: PyTree[Array]
    kinks: bool = eqx.field(static=True)

    def __init__(
        self, ts: Float[ArrayLike, " times"], values: PyTree[ArrayLike], kinks: bool = False
    ):
        self.ts, self.values = _read(ts, values, 2)
        self.kinks = kinks

    @property
    def breakpoints(self) -> Array | None:
        """The times, if they are to be."""
        return self.ts if self.kinks else None

    def __call__(self, t: Float[ArrayLike, ""]) -> PyTree[Array]:
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
    values: PyTree[Array]
    slopes: PyTree[Array]

    def __init__(
        self,
        ts: Float[ArrayLike, " times"],
        values: PyTree[ArrayLike],
        slopes: PyTree[ArrayLike] | None = None,
    ):
        self.ts, self.values = _read(ts, values, 2)
        if slopes is not None:
            self.slopes = _read(ts, slopes, 2)[1]
            if jax.tree.map(jnp.shape, self.slopes) != jax.tree.map(jnp.shape, self.values):
                raise InputError("the slopes of a path must have the structure of its values.")
            return

        def backward(leaf: Array) -> Array:
            lengths = jnp.diff(self.ts).reshape((-1,) + (1,) * (leaf.ndim - 1))
            differences = jnp.diff(leaf, axis=0) / lengths
            return jnp.concatenate([differences[:1], differences])

        self.slopes = jax.tree.map(backward, self.values)

    def __call__(self, t: Float[ArrayLike, ""]) -> PyTree[Array]:
        """On the cubic; outside of the times it is the value at the nearer end."""
        index, place, length = self._piece(t)

        def value(leaf: Array, slope: Array) -> Array:
            x, h = place.astype(leaf.dtype), length.astype(leaf.dtype)
            start, rise = leaf[index], leaf[index + 1] - leaf[index]
            first, last = h * slope[index] - rise, rise - h * slope[index + 1]
            return start + x * rise + x * (1 - x) * ((1 - x) * first + x * last)

        return jax.tree.map(value, self.values, self.slopes)


def _read(ts: Any, values: Any, least: int) -> tuple[Array, PyTree[Array]]:
    """Times and values of a path, as arrays.

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
    return jnp.asarray(ts, jnp.result_type(ts, jnp.float32)), values


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


class Driven(eqx.Module):
    """A field `f(t, y, args, u)` with `u = path(t)`, as one of three arguments."""

    f: Callable
    path: Callable

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        return self.f(t, y, args, self.path(t))


def driven(f: Callable, inputs: Any) -> Callable:
    """The field with its inputs, if there are any.

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
    return Driven(f, inputs)


def with_breakpoints(breakpoints: Any, inputs: Any) -> Any:
    """All breakpoints: those that were given, and those that the inputs bring along."""
    own = getattr(inputs, "breakpoints", None)
    if own is None or breakpoints is None:
        return breakpoints if own is None else own
    return jnp.concatenate([jnp.atleast_1d(jnp.asarray(breakpoints)), own])
