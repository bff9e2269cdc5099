"""What is kept of an accepted step: the values at the save times in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .step import Start, Step, put
from .stepping import between, output_weights


class Saved(NamedTuple):
    """Values at the save times so far, and how many times (each lane) has passed."""

    ys: Float[Array, "times size *lanes"]
    passed: Int[Array, "*lanes"]

    def after(self, y0: Float[Array, "size *lanes"]) -> Saved:
        """With the initial state as one value more, the first."""
        return Saved(jnp.concatenate([y0[None], self.ys]), self.passed + 1)


def begin(ts: Float[Array, "times *lanes"], y0: Float[Array, "size *lanes"]) -> Saved:
    """Save times at (or before) the start hold the initial state, the others NaN until reached."""
    reached = ts <= 0
    ys = jnp.where(reached[:, None], y0, jnp.nan)
    return Saved(ys, jnp.sum(reached, axis=0, dtype=jnp.int32))


def wants_output(
    ts: Float[Array, "times *lanes"], count: Int[Array, "*lanes"], end: Float[Array, "*lanes"]
) -> Bool[Array, "*lanes"]:
    """Whether the next save time lies strictly before the end of the step."""
    if ts.shape[0] == 1:
        return jnp.zeros_like(end, bool)
    return (count < ts.shape[0]) & (time_at(ts, count) < end)


def time_at(
    ts: Float[Array, "times *lanes"], count: Int[Array, "*lanes"]
) -> Float[Array, "*lanes"]:
    """The save time with this index (in each lane); the last one when there is none left."""
    return entry(ts, jnp.minimum(count, ts.shape[0] - 1))


def entry(rows: Float[Array, "times *rest"], index: Int[Array, "*lanes"]) -> Float[Array, "*rest"]:
    """The row with this index, in each lane its own."""
    if index.ndim == 0:
        return jax.lax.dynamic_index_in_dim(rows, index, keepdims=False)
    shape = (1,) * (rows.ndim - 1) + index.shape
    return jnp.take_along_axis(rows, index.reshape(shape), axis=0)[0]


def save(
    method: Any,
    ts: Float[Array, "times *lanes"],
    saved: Saved,
    start: Start,
    step: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"], Step, Bool[Array, "*lanes"]],
) -> Saved:
    """Fill in the save times that a step passed, from its continuous extension.

    A single save time is the end of the solve: its value is the new state itself.

    Args:
        step: its size, the time after it, what it computed, and whether it was accepted.
    """
    if ts.shape[0] == 1:
        return _save_end(ts, saved, step)
    _, end, _, accepted = step

    def fill(saved: Saved) -> Saved:
        now = pending(ts, saved.passed, end, accepted)
        _, value = value_at(method, ts, saved.passed, start, (step, now))
        return Saved(_write(saved.ys, saved.passed, value, now), saved.passed + now)

    def going(saved: Saved) -> Bool[Array, ""]:
        return jnp.any(pending(ts, saved.passed, end, accepted))

    return jax.lax.while_loop(going, fill, saved)


def pending(
    ts: Float[Array, "times *lanes"],
    count: Int[Array, "*lanes"],
    end: Float[Array, "*lanes"],
    taken: Bool[Array, "*lanes"],
) -> Bool[Array, "*lanes"]:
    """Whether the save time with this index is in a step that was taken and ends then."""
    return taken & (count < ts.shape[0]) & (time_at(ts, count) <= end)


def value_at(
    method: Any,
    ts: Float[Array, "times *lanes"],
    count: Int[Array, "*lanes"],
    start: Start,
    step: tuple[tuple[Float[Array, "*lanes"], Any, Step, Any], Bool[Array, "*lanes"]],
) -> tuple[Float[Array, "*lanes"], Float[Array, "size *lanes"]]:
    """The save time with this index, and the value there; the start of the step where it is not in.

    Args:
        step: as in `save`, and where the save time is in it.
    """
    (h, _, taken, _), now = step
    # Far from the step the polynomial can overflow, and 0 * inf would be NaN.
    theta = jnp.where(now, (time_at(ts, count) - start.t) / jnp.where(now, h, 1), 0)
    weights, _ = output_weights(method, theta)
    return start.t + theta * h, start.y + h * between(weights, taken.slopes)


def save_at_once(
    method: Any,
    ts: Float[Array, "times *lanes"],
    saved: Saved,
    start: Start,
    step: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"], Step, Bool[Array, "*lanes"]],
) -> Saved:
    """The same as `save`, all times at once and without a loop: dearer where there are many."""
    if ts.shape[0] == 1:
        return _save_end(ts, saved, step)
    h, end, taken, accepted = step
    now = accepted & (ts > start.t) & (ts <= end)
    theta = jnp.where(now, (ts - start.t) / jnp.where(accepted, h, 1), 0)

    def value(theta: Float[Array, "*lanes"]) -> Float[Array, "size *lanes"]:
        weights, _ = output_weights(method, theta)
        return start.y + h * between(weights, taken.slopes)

    ys = jnp.where(now[:, None], jax.vmap(value)(theta), saved.ys)
    return Saved(ys, saved.passed + jnp.sum(now, axis=0, dtype=jnp.int32))


def _save_end(ts: Float[Array, "1 *lanes"], saved: Saved, step: Any) -> Saved:
    _, end, taken, accepted = step
    now = accepted & (ts[0] <= end)
    return Saved(jnp.where(now, taken.y, saved.ys[0])[None], saved.passed + now)


def _write(
    rows: Float[Array, "times size *lanes"],
    index: Int[Array, "*lanes"],
    value: Float[Array, "size *lanes"],
    now: Bool[Array, "*lanes"],
) -> Float[Array, "times size *lanes"]:
    """Write each lane's value at its own index, where it is to be written now."""
    if index.ndim == 0:
        return put(rows, index, value)
    lane = jnp.arange(index.shape[0])
    row = jnp.where(now, index, rows.shape[0])
    return rows.at[row, :, lane].set(value.T, mode="drop")


def add_at(
    rows: Float[Array, "times *lanes"], index: Int[Array, "*lanes"], value: Float[Array, "*lanes"]
) -> Float[Array, "times *lanes"]:
    """Add each lane's number at its own index."""
    if index.ndim == 0:
        return rows.at[index].add(value)
    return rows.at[index, jnp.arange(index.shape[0])].add(value)
