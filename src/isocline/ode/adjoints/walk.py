"""The walk back over a record, from the last accepted step to the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..field import Field, Params
from ..loop import Rules, Task
from ..record import BLOCK, Record, Start
from ..sharding import vary, varying_axes
from ..step import Step
from ..stepping import take_step


class At(NamedTuple):
    """One step of each lane: its start, its size, whether the lane has it, and who took it.

    Lanes that do not have it wait at their initial state, where the field is known to be finite.
    """

    t: Float[Array, " lanes"]
    h: Float[Array, " lanes"]
    start: Start
    active: Bool[Array, " lanes"]
    stiff: Bool[Array, " lanes"] | None


class Walk(NamedTuple):
    """What a walk needs beside the record; `steps` says how many accepted steps each lane has."""

    rules: Rules
    field: Field
    params: Params
    task: Task
    steps: Int[Array, " lanes"]

    def back(self, record: Record, undo: Callable[[At, Any], Any], carry: Any) -> Any:
        """Apply `undo(at, carry) -> carry` to every step, the last one first."""
        top = jnp.max(self.steps, initial=0)
        walk = self._back_whole if record.is_whole else self._back_in_blocks
        return walk(record, undo, top, carry)

    def step(self, at: At, start: Start, params: Params, fill: Bool[Array, ""]) -> Step:
        """Take the step again, from this start."""
        known = at.t, start.y, start.f
        return take_step(self.rules.tableau, self.field, params, known, at.h, fill, stiff=at.stiff)

    def _at(self, record: Record, index: Int[Array, ""], start: Start) -> At:
        active = index < self.steps
        begins, ends = record.times_of(index)
        keep = active[:, None]
        # The field at the start does not matter where nothing moves, but it must be a number.
        start = Start(
            jnp.where(keep, start.y, self.task.y0),
            jnp.where(keep, start.f, jnp.zeros_like(start.f)),
        )
        t = jnp.where(active, begins, self.task.t0)
        return At(t, jnp.where(active, ends - begins, 0), start, active, record.stiff_of(index))

    def _back_whole(self, record: Record, undo: Callable, top: Int[Array, ""], carry: Any) -> Any:
        def body(state):
            index, carry = state
            index -= 1
            return index, undo(self._at(record, index, record.kept.at(index)), carry)

        return jax.lax.while_loop(lambda state: state[0] > 0, body, (top, carry))[1]

    def _back_in_blocks(self, record: Record, undo: Callable, top: Int[Array, ""], carry: Any):
        thinned = record.stride > 1
        # Where nothing was left out, all steps are one block, and nothing is computed again.
        size = jnp.where(thinned, jnp.minimum(record.stride, BLOCK), record.row.shape[0])

        def walk_block(state):
            end, carry = state
            first = (end - 1) // size * size
            block = self._computed_again(record, first, end)

            def body(state):
                index, carry = state
                index -= 1
                start = jax.lax.cond(
                    thinned,
                    lambda: block.at(jnp.minimum(index - first, BLOCK - 1)),
                    lambda: record.start_of(jnp.minimum(index, record.row.shape[0] - 1)),
                )
                return index, undo(self._at(record, index, start), carry)

            return jax.lax.while_loop(lambda state: state[0] > first, body, (end, carry))

        return jax.lax.while_loop(lambda state: state[0] > 0, walk_block, (top, carry))[1]

    def _computed_again(self, record: Record, first: Int[Array, ""], end: Int[Array, ""]) -> Start:
        """The starts of the steps from `first` to before `end`, from the kept start before them."""
        position = jnp.minimum(first // record.stride, record.row.shape[0] - 1)
        lanes, size = self.task.y0.shape
        empty = jnp.zeros((BLOCK + 1, lanes, size), self.task.y0.dtype)
        state = position * record.stride, record.start_of(position), Start(empty, empty)
        state = vary(state, varying_axes((record, self.params, self.task)))

        def put(index: Int[Array, ""], start: Start, block: Start) -> Start:
            """Before the block, starts go to the row behind it."""
            row = jnp.where(index < first, BLOCK, index - first)
            return Start(
                *(
                    jax.lax.dynamic_update_index_in_dim(rows, new, row, axis=0)
                    for rows, new in zip(block, start, strict=True)
                )
            )

        def body(state):
            index, start, block = state
            block = put(index, start, block)
            at = self._at(record, index, start)
            step = self.step(at, at.start, self.params, jnp.zeros((), bool))
            return index + 1, Start(step.y, step.last(self.rules.tableau)), block

        wanted = jnp.where(record.stride > 1, end - 1, 0)
        index, start, block = jax.lax.while_loop(lambda state: state[0] < wanted, body, state)
        return put(index, start, block)
