"""Dense output: the whole solution as one function of time, from the stages of every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

from .arguments import is_traced
from .clock import Clock
from .step import Start, Step, put
from .stepping import between, output_weights, rows_of
from .tableaus import Method
from .vmapped import most_of_all

_PAST = 1.25  # of a step; by rounding an event may be a little behind its end
NO_GRADIENT = (
    "solution.interpolant has no gradient by the initial state, args or times: it can be "
    "differentiated by its own argument only. Ask for the values at save times (ts=) instead."
)


class Dense(NamedTuple):
    """Steps in the order they were taken; lanes that step together share a row.

    Attributes:
        times: when each step began, and when the last one ended, padded with that.
    """

    times: Float[Array, "steps_and_one *lanes"]
    y: Float[Array, "steps size *lanes"]
    slopes: Float[Array, "steps stages size *lanes"]

    def write(
        self, row: Int[Array, ""], start: Start, step: tuple[Array, Step, Bool[Array, "*lanes"]]
    ) -> Dense:
        """With one attempt more: its end, what it computed, where it was accepted."""
        end, made, accepted = step
        times = put(self.times, row + 1, jnp.where(accepted, end, start.t))
        return Dense(times, put(self.y, row, start.y), put(self.slopes, row, made.slopes))

    def without_gradient(self) -> Dense:
        """The same; only times still tell who differentiates it, who is then refused."""
        y, slopes = jax.lax.stop_gradient((self.y, self.slopes))
        return Dense(self.times, y, slopes)


def dense_room(method: Method, y0: Float[Array, "size *lanes"], steps: int) -> Dense:
    """Empty room for so many steps; a solve that takes none stays at its initial state."""
    times = jnp.zeros((steps + 1, *y0.shape[1:]), y0.dtype)
    slopes = jnp.zeros((steps, rows_of(method), *y0.shape), y0.dtype)
    return Dense(times, jnp.zeros((steps, *y0.shape), y0.dtype).at[0].set(y0), slopes)


class Pieces(NamedTuple):
    """Accepted steps on the clock of the whole solve, which may have been solved in parts.

    Attributes:
        begins, sizes: of each step.
        ends: up to when its output is asked. Of the last step before a jump of the state that is
            the time of the jump at least: so what is asked then is the state before it.
    """

    begins: Float[Array, "steps *lanes"]
    sizes: Float[Array, "steps *lanes"]
    ends: Float[Array, "steps *lanes"]
    y: Float[Array, "steps size *lanes"]
    slopes: Float[Array, "steps stages size *lanes"]


def pieces_of(dense: Dense, since: Float[Array, "*lanes"]) -> Pieces:
    """What a loop has written.

    Args:
        since: when it began, as time since the start of the whole solve.
    """
    times = jax.lax.cummax(dense.times, axis=0)
    begins, ends = since + times[:-1], since + times[1:]
    return Pieces(begins, jnp.diff(times, axis=0), ends, dense.y, dense.slopes)


class Joined(NamedTuple):
    """The pieces of the parts of a solve so far, and how many; here lanes come first.

    For each has a row of its own for every step: parts of different lengths leave no gaps.
    """

    pieces: Pieces
    taken: Int[Array, "*lanes"]

    def after(self, part: Pieces, until: Float[Array, "*lanes"], unrolled: bool) -> Joined:
        """With the steps of one part more.

        Args:
            part: its steps, lanes last.
            until: when it ended.
            unrolled: whether JAX may differentiate this in reverse.
        """
        moved = part.sizes > 0
        number = jnp.arange(1, len(moved) + 1).reshape((-1,) + (1,) * until.ndim)
        # One number for all lanes: else each turn of the loop would copy the buffers.
        last = len(moved) if unrolled else most_of_all(jnp.where(moved, number, 0))

        def one(sofar: Joined, part: Pieces, until: Float[Array, ""]) -> Joined:
            def write(row: Int[Array, ""], sofar: Joined) -> Joined:
                pieces, new = sofar.pieces, part.sizes[row] > 0
                place = jnp.where(new, sofar.taken, len(pieces.ends))
                pieces = jax.tree.map(
                    lambda rows, more: rows.at[place].set(more[row], mode="drop"), pieces, part
                )
                return Joined(pieces, sofar.taken + new)

            pieces, taken = jax.lax.fori_loop(0, last, write, sofar)
            ends = pieces.ends.at[jnp.maximum(taken - 1, 0)].max(until)
            return Joined(pieces._replace(ends=ends), taken)

        each = jax.vmap(one, in_axes=(0, -1, 0)) if until.ndim else one
        return each(self, part, until)


def join_room(method: Method, y0: Float[Array, "size *lanes"], steps: int) -> Joined:
    """Empty room for so many steps of each lane."""
    zero = jnp.zeros(y0.shape[1:], y0.dtype)
    pieces = lanes_first(pieces_of(dense_room(method, y0, steps), zero))
    return Joined(pieces, jnp.zeros(zero.shape, jnp.int32))


def lanes_first(pieces: Pieces) -> Pieces:
    """The pieces with the axis of lanes first, if there is one."""
    if pieces.ends.ndim == 1:
        return pieces
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), pieces)


class Interpolant(eqx.Module):
    """The solution at any time of its span: `interpolant(t)`, by the method's own dense output.

    Values have the structure of y0, each leaf with the shape of t first (after the batch, of
    independent or mapped trajectories). Outside of the span, and behind the end of a solve that
    failed or ended in an event, they are NaN. At an event with a reset it is the state before it,
    and at a breakpoint the derivative is that from before it. It can be differentiated by t, and by
    nothing else. Of plain numbers, and NumPy's, no digit is lost far from t=0; an array of JAX's
    has been rounded already.

    Attributes:
        steps: trajectories first.
        origin: the time at the start, and what rounding left of it.
        sign: the direction of time.
    """

    steps: Pieces
    origin: tuple[Float[Array, "*batch"], Float[Array, "*batch"] | None]
    sign: Float[Array, "*batch"]
    method: Method = eqx.field(static=True)
    unravel: Callable = eqx.field(static=True)

    def __call__(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """The state."""
        return _compiled(self, self._elapsed(t), slope=False)

    def derivative(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """How fast it changes: the derivative of the dense output, which is near to the field.

        Of a span of no length it is zero.
        """
        return _compiled(self, self._elapsed(t), slope=True)

    def _elapsed(self, t: Any) -> tuple[Float[Array, "*batch_times"], Float[Array, "*batch_times"]]:
        """How long after the start a time is, and how far rounding may have moved it."""
        dtype, (origin, rest) = self.steps.y.dtype, self.origin
        rounding, column = 8 * jnp.finfo(dtype).eps, (...,) + (None,) * np.ndim(t)
        if rest is not None and not (is_traced((t, origin, rest)) or isinstance(t, jax.Array)):
            exact = np.asarray(origin, np.float64) + np.asarray(rest, np.float64)
            elapsed = jnp.asarray(np.asarray(t, np.float64) - exact[column], dtype)
            return elapsed, rounding * jnp.abs(elapsed)
        t = jnp.asarray(t, dtype)
        elapsed = t - origin[column]
        near = rounding * (jnp.abs(t) + jnp.abs(origin[column]))
        return (elapsed if rest is None else elapsed - rest[column]), near

    def _values(self, times: tuple[Array, Array], slope: bool) -> PyTree[Array]:
        def one(steps: Pieces, sign: Array, times: tuple[Array, Array]) -> PyTree[Array]:
            shape = times[0].shape
            rows = jax.vmap(lambda *time: self._row(steps, sign, time, slope))
            values = jax.vmap(self.unravel)(rows(*map(jnp.ravel, times)))
            return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), values)

        each = one
        for _ in range(self.sign.ndim):
            each = jax.vmap(each)
        return each(self.steps, self.sign, times)

    def _row(
        self, steps: Pieces, sign: Array, time: tuple[Array, ...], slope: bool
    ) -> Float[Array, " size"]:
        """The value in the step that ends at this time, or later."""
        elapsed, near = sign * time[0], time[1]
        # The first and the last time can be told from the ends of the span by rounding alone.
        inside = (elapsed >= -near) & (elapsed <= steps.ends[-1] + near)
        index = jnp.searchsorted(steps.ends, elapsed, side="left")
        # Rows before the first step were rejected, and may hold NaN.
        first, last = jnp.argmax(steps.sizes > 0), jnp.sum(steps.ends < steps.ends[-1])
        index = jnp.clip(index, first, last)
        begin, end, size = steps.begins[index], steps.ends[index], steps.sizes[index]
        # Of equal numbers `jnp.clip` halves the gradient, and ends of steps are likely times.
        held = jnp.where(elapsed < begin, begin, jnp.where(elapsed > end, end, elapsed))
        theta = (held - begin) / jnp.where(size > 0, size, 1)
        # The clock of the whole solve may be coarser than a step of a late part: then it is over.
        weights, speeds = output_weights(self.method, jnp.where(theta > _PAST, 1, theta))
        if slope:
            return jnp.where(inside, sign * between(speeds, steps.slopes[index]), jnp.nan)
        moved = jnp.where(size > 0, size * between(weights, steps.slopes[index]), 0)
        return jnp.where(inside, steps.y[index] + moved, jnp.nan)


@eqx.filter_jit
def _compiled(path: Interpolant, times: tuple[Array, Array], slope: bool) -> PyTree[Array]:
    return path._values(times, slope)


def interpolant_of(
    method: Method,
    steps: Pieces,
    clock: Clock,
    rest: Float[Array, "*lanes"] | None,
    unravel: Callable[[Array], Any],
) -> Interpolant:
    """From the steps of all parts.

    Args:
        steps: trajectories first.
        rest: what rounding left of the time at the start.
    """
    # Rows that were not needed end with the last one.
    ends = jax.lax.cummax(steps.ends, axis=steps.ends.ndim - 1)
    sign = jnp.broadcast_to(clock.directed(jnp.ones_like(clock.origin)), ends.shape[:-1])
    return Interpolant(steps._replace(ends=ends), (clock.origin, rest), sign, method, unravel)
