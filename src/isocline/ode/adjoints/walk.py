"""The walk back over a record, from the last step to the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from ..field import Bound
from ..grid import Grid
from ..record import BLOCK, Kept, Record
from ..sharding import vary, varying_axes
from ..step import Start, Step, Taken, put
from ..stepping import last_slope, step_room, take_step
from ..task import Rules, Task

Notes = Float[Array, "rows size *lanes"]


class Walk(NamedTuple):
    """What a walk needs beside the record.

    Attributes:
        rows: how many steps of the record there are to walk.
    """

    rules: Rules
    bound: Bound
    task: Task
    rows: Int[Array, ""]

    def back(
        self,
        record: Record,
        fill: Callable[[Float[Array, "*lanes"], Float[Array, "*lanes"]], Bool[Array, ""]],
        undo: Callable[[Taken, Any], Any],
        carry: Any,
    ) -> Any:
        """Apply `undo(step, carry) -> carry` to every step, the last one first.

        Args:
            fill: whether a step from this time to that one had the stages of dense output.
        """

        def noted(state: tuple[Int[Array, ""], Any]) -> tuple[Int[Array, ""], Any]:
            index, carry = state
            return index - 1, undo(self._taken(record, index - 1, record.notes[index - 1]), carry)

        rows = self.rows
        if record.kept is not None:
            late = jnp.maximum(rows - record.noted, 0)
            carry = self._back_in_blocks(record, record.kept, (fill, undo), late, carry)
            rows = jnp.minimum(rows, record.noted)
        return lax.while_loop(lambda state: state[0] > 0, noted, (rows, carry))[1]

    def _times(self, record: Record, step: Int[Array, ""]) -> tuple[Array, Array]:
        """When a step began and ended."""
        if record.times is not None:
            begins, ends = lax.dynamic_slice_in_dim(record.times, step, 2)
            return begins, ends
        grid, t1 = cast(Grid, self.task.grid), self.task.t1
        return grid.begin(t1, step), grid.end(t1, step)

    def _taken(self, record: Record, index: Int[Array, ""], notes: Notes) -> Taken:
        (t, end), stiff = self._times(record, index), record.stiff_at(index)
        if not self.bound.field.batched:
            return Taken(t, end, notes, stiff)
        # Lanes that did not get on, or failed, wait at their initial state, where the field is
        # known to be finite: no cotangent reaches them, but 0 * NaN would reach the parameters.
        active = (end > t) & (self.task.t1 > 0)
        t, end = jnp.where(active, t, 0), jnp.where(active, end, 0)
        return Taken(t, end, jnp.where(active, notes, self.task.y0), stiff)

    def _back_in_blocks(self, record: Record, kept: Kept, how: Any, late: Array, carry: Any) -> Any:
        """The steps without notes, numbered from the first of them."""
        fill, undo = how
        size = jnp.minimum(kept.stride, BLOCK)
        rows = jnp.zeros((BLOCK + 1, *record.notes.shape[1:]), record.notes.dtype)
        rows = vary(rows, varying_axes((record, self.bound.params, self.task)))

        def block(state):
            end, rows, carry = state
            first = (end - 1) // size * size
            rows = self._computed_again(record, kept, (first, end), rows, fill)

            def body(state):
                index, carry = state
                step = self._taken(record, record.noted + index - 1, rows[index - 1 - first])
                return index - 1, undo(step, carry)

            end, carry = lax.while_loop(lambda state: state[0] > first, body, (end, carry))
            return end, rows, carry

        return lax.while_loop(lambda state: state[0] > 0, block, (late, rows, carry))[2]

    def _computed_again(
        self, record: Record, kept: Kept, part: Any, rows: Array, fill: Callable
    ) -> Float[Array, "block rows size *lanes"]:
        """The notes of the steps from `first` to before `end`, from the kept start before them."""
        first, end = part
        method, position = self.rules.tableau, first // kept.stride
        y, f = kept.at(position)

        def again(state):
            index, y, f, room, rows = state
            t, end = self._times(record, record.noted + index)
            moves, wanted = end > t, fill(t, end) & (index >= first)
            start = Start(t, y, f, record.stiff_at(record.noted + index))
            room = take_step(method, self.bound, start, end - t, (wanted, True), room)
            # Before the block, notes go to the row behind it.
            row = jnp.where(index < first, BLOCK, index - first)
            f = jnp.where(moves, last_slope(method, room), f)
            return (
                index + 1,
                jnp.where(moves, room.y, y),
                f,
                room,
                put(rows, row, cast(Array, room.notes)),
            )

        room: Step = step_room(method, y, True, self.task.between)
        room = vary(room, varying_axes((rows, y)))
        state = position * kept.stride, y, f, room, rows
        return lax.while_loop(lambda state: state[0] < end, again, state)[-1]
