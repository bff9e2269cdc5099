"""Dense output: the whole solution as one function of time, from the stages of every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PyTree

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
    independent trajectories). Outside of the span, and behind the end of a solve that failed, they
    are NaN. It can be differentiated by t, and by nothing else.
    """

    clock: Clock
    steps: Dense
    method: Method = eqx.field(static=True)
    unravel: Callable = eqx.field(static=True)

    def __call__(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """The state."""
        return self._each(t, slope=False)

    def derivative(self, t: Float[ArrayLike, "*times"]) -> PyTree[Array]:
        """How fast it changes: the derivative of the dense output, which is near to the field."""
        return self._each(t, slope=True)

    def _each(self, t: Any, slope: bool) -> PyTree[Array]:
        return _compiled(self, jnp.asarray(t, self.steps.y.dtype), slope)

    def _values(self, t: Float[Array, "*times"], slope: bool) -> PyTree[Array]:
        def one(clock: Clock, steps: Dense) -> PyTree[Array]:
            values = jax.vmap(lambda t: self.unravel(self._row(clock, steps, t, slope)))(t.ravel())
            return jax.tree.map(lambda leaf: leaf.reshape(*t.shape, *leaf.shape[1:]), values)

        if self.steps.times.ndim == 1:
            return one(self.clock, self.steps)
        sign = None if isinstance(self.clock.sign, float) else 0
        return jax.vmap(one, in_axes=(Clock(0, sign), -1))(self.clock, self.steps)  # pyright: ignore[reportArgumentType]

    def _row(
        self, clock: Clock, steps: Dense, t: Float[Array, ""], slope: bool
    ) -> Float[Array, " size"]:
        """The value in the step that ends at t, or later."""
        elapsed = clock.directed(t - clock.origin)
        # The first and the last time can be told from the ends of the span by rounding alone.
        near = 8 * jnp.finfo(t.dtype).eps * (jnp.abs(t) + jnp.abs(clock.origin))
        inside = (elapsed >= -near) & (elapsed <= steps.times[-1] + near)
        index = jnp.searchsorted(steps.times, elapsed, side="left") - 1
        index = jnp.clip(index, 0, jnp.maximum(jnp.sum(steps.times < steps.times[-1]) - 1, 0))
        begin, end = steps.times[index], steps.times[index + 1]
        h = jnp.where(end > begin, end - begin, 1)
        weights, speeds = output_weights(self.method, jnp.clip((elapsed - begin) / h, 0, 1))
        if slope:
            return jnp.where(inside, clock.directed(between(speeds, steps.slopes[index])), jnp.nan)
        length = end - begin
        return jnp.where(
            inside, steps.y[index] + length * between(weights, steps.slopes[index]), jnp.nan
        )


@eqx.filter_jit
def _compiled(path: Interpolant, t: Float[Array, "*times"], slope: bool) -> PyTree[Array]:
    return path._values(t, slope)


def interpolant_of(
    method: Method, dense: Dense, clock: Clock, unravel: Callable[[Array], Any]
) -> Interpolant:
    """From the rows that a loop has written."""
    times = jax.lax.cummax(dense.times, axis=0)
    return Interpolant(clock, dense._replace(times=times), method, unravel)
