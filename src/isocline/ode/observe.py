"""What is kept of an accepted step: the values at the save times in it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .step import Step, output_weights
from .tableaus import Method


class Saved(NamedTuple):
    """Values at the save times so far, and how many times each lane has passed."""

    ys: Float[Array, "lanes times size"]
    passed: Int[Array, " lanes"]


def begin(
    ts: Float[Array, "lanes times"], t0: Float[Array, " lanes"], y0: Float[Array, "lanes size"]
) -> Saved:
    """Save times at (or before) the start hold the initial state, the others NaN until reached."""
    reached = ts <= t0[:, None]
    ys = jnp.where(reached[:, :, None], y0[:, None, :], jnp.nan)
    return Saved(ys, jnp.sum(reached, axis=1, dtype=jnp.int32))


def wants_output(
    ts: Float[Array, "lanes times"], count: Int[Array, " lanes"], end: Float[Array, " lanes"]
) -> Bool[Array, " lanes"]:
    """Whether the next save time lies strictly before the end of the step."""
    if ts.shape[1] == 1:
        return jnp.zeros_like(end, bool)
    return (count < ts.shape[1]) & (time_at(ts, count) < end)


def time_at(ts: Float[Array, "lanes times"], count: Int[Array, " lanes"]) -> Float[Array, " lanes"]:
    """The save time with this index in each lane (the last one when there is none left)."""
    return jnp.take_along_axis(ts, jnp.minimum(count, ts.shape[1] - 1)[:, None], axis=1)[:, 0]


def save(
    tableau: Method,
    ts: Float[Array, "lanes times"],
    saved: Saved,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"]],
    step: tuple[Float[Array, " lanes"], Float[Array, " lanes"], Step, Bool[Array, " lanes"]],
) -> Saved:
    """Fill in the save times that a step passed, from its continuous extension.

    A single save time is the end of the solve: its value is the new state itself.

    Args:
        start: time and state before the step.
        step: its size, the time after it, its stages, and in which lanes it was accepted.
    """
    (t, y), (h, end, taken, accepted) = start, step
    if ts.shape[1] == 1:
        now = accepted & (ts[:, 0] <= end)
        return Saved(jnp.where(now[:, None], taken.y, saved.ys[:, 0])[:, None], saved.passed + now)
    size = jnp.where(accepted, h, 1)
    lane = jnp.arange(t.shape[0])

    def pending(saved: Saved) -> Bool[Array, " lanes"]:
        return accepted & (saved.passed < ts.shape[1]) & (time_at(ts, saved.passed) <= end)

    def fill(saved: Saved) -> Saved:
        now = pending(saved)
        weights, _ = output_weights(tableau, (time_at(ts, saved.passed) - t) / size)
        value = y + h[:, None] * jnp.einsum("ls,sln->ln", weights, taken.slopes)
        index = jnp.where(now, saved.passed, ts.shape[1])
        return Saved(saved.ys.at[lane, index].set(value, mode="drop"), saved.passed + now)

    return jax.lax.while_loop(lambda saved: jnp.any(pending(saved)), fill, saved)
