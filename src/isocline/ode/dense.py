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


def dense_room(method: Method, y0: Float[Array, "size *lanes"], steps: int) -> Dense:
    """Empty room for so many steps."""
    times = jnp.zeros((steps + 1, *y0.shape[1:]), y0.dtype)
    slopes = jnp.zeros((steps, rows_of(method), *y0.shape), y0.dtype)
    return Dense(times, jnp.zeros((steps, *y0.shape), y0.dtype), slopes)


class Interpolant(eqx.Module):
    """The solution at any time of its span: `interpolant(t)`, by the method's own dense output.

    Values have the structure of y0, each leaf with the shape of t first (after the batch, of
    independent or mapped trajectories). Outside of the span, and behind the end of a solve that
    failed, they are NaN. It can be differentiated by t, and by nothing else. Of plain numbers, and
    NumPy's, no digit is lost far from t=0; an array of JAX's has been rounded already.

    Attributes:
        steps: as the loop has written them, but trajectories first.
        origin: the time at the start, and what rounding left of it.
        sign: the direction of time.
    """

    steps: Dense
    origin: tuple[Float[Array, "*batch"], Float[Array, "*batch"] | None]
    sign: Float[Array, "*batch"]
    method: Method = eqx.field(static=True)
    unravel: Callable = eqx.field(static=True)

    def __call__(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """The state."""
        return _compiled(self, self._elapsed(t), slope=False)

    def derivative(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """How fast it changes: the derivative of the dense output, which is near to the field."""
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
        def one(steps: Dense, sign: Array, times: tuple[Array, Array]) -> PyTree[Array]:
            shape = times[0].shape
            rows = jax.vmap(lambda *time: self._row(steps, sign, time, slope))
            values = jax.vmap(self.unravel)(rows(*map(jnp.ravel, times)))
            return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), values)

        each = one
        for _ in range(self.sign.ndim):
            each = jax.vmap(each)
        return each(self.steps, self.sign, times)

    def _row(
        self, steps: Dense, sign: Array, time: tuple[Array, ...], slope: bool
    ) -> Float[Array, " size"]:
        """The value in the step that ends at this time, or later."""
        elapsed, near = sign * time[0], time[1]
        # The first and the last time can be told from the ends of the span by rounding alone.
        inside = (elapsed >= -near) & (elapsed <= steps.times[-1] + near)
        index = jnp.searchsorted(steps.times, elapsed, side="left") - 1
        index = jnp.clip(index, 0, jnp.maximum(jnp.sum(steps.times < steps.times[-1]) - 1, 0))
        begin, end = steps.times[index], steps.times[index + 1]
        h = jnp.where(end > begin, end - begin, 1)
        weights, speeds = output_weights(self.method, jnp.clip((elapsed - begin) / h, 0, 1))
        if slope:
            return jnp.where(inside, sign * between(speeds, steps.slopes[index]), jnp.nan)
        moved = (end - begin) * between(weights, steps.slopes[index])
        return jnp.where(inside, steps.y[index] + moved, jnp.nan)


@eqx.filter_jit
def _compiled(path: Interpolant, times: tuple[Array, Array], slope: bool) -> PyTree[Array]:
    return path._values(times, slope)


def interpolant_of(
    method: Method,
    dense: Dense,
    clock: Clock,
    rest: Float[Array, "*lanes"] | None,
    unravel: Callable[[Array], Any],
) -> Interpolant:
    """From the rows that a loop has written.

    Args:
        rest: what rounding left of the time at the start.
    """
    dense = dense._replace(times=jax.lax.cummax(dense.times, axis=0))
    sign = jnp.broadcast_to(clock.directed(jnp.ones_like(clock.origin)), dense.times.shape[1:])
    # As `jax.vmap` puts them, which may have done so already.
    dense = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0) if sign.ndim else leaf, dense)
    return Interpolant(dense, (clock.origin, rest), sign, method, unravel)
