"""The record of the accepted steps that an adjoint replays, within a budget of memory.

Every time is kept, but states only as many as the budget allows. While they fit, each step has one.
When all are taken, every second one is given up, and from then on only every second step is kept;
and so on. What lies between is computed again, a block at a time, by the steps that were taken
(checkpoints while the length is not known: Stumm & Walther 2010). A large buffer would be dear even
where it stays empty, because XLA fills it with zeros first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

FEWEST = 32  # states kept, however large they are
BLOCK = 16  # steps that are computed again at once; a power of two


class Start(NamedTuple):
    """The state where a step began, and the field there."""

    y: Float[Array, "*rows lanes size"]
    f: Float[Array, "*rows lanes size"]

    def put(self, row: Int[Array, " lanes"], start: Start) -> Start:
        """Rows with one written, each lane at its own place."""
        return Start(_put(self.y, row, start.y), _put(self.f, row, start.f))

    def at(self, row: Int[Array, ""]) -> Start:
        """One row."""
        return Start(*(lax.dynamic_index_in_dim(rows, row, keepdims=False) for rows in self))


class Record(NamedTuple):
    """The accepted steps of all lanes: times of all, starts of every `stride`-th.

    Attributes:
        times: where each step began, and where the last one ended; the last row is scratch.
        kept: starts, in rows; the last row is scratch.
        row: which row holds the start of step `position * stride`.
        stride: a power of two.
        stiff: of a switching method: which steps the stiff one took.
    """

    times: Float[Array, "steps_and_two lanes"]
    kept: Start
    row: Int[Array, " rows"]
    stride: Int[Array, ""]
    stiff: Bool[Array, "steps_and_one lanes"] | None

    @property
    def is_whole(self) -> bool:
        """Whether there is room for the start of every step."""
        return self.row.shape[0] >= self.times.shape[0] - 2

    def write(
        self,
        index: Int[Array, " lanes"],
        end: Float[Array, " lanes"],
        start: Start,
        accepted: Bool[Array, " lanes"],
        stiff: Bool[Array, " lanes"] | None = None,
    ) -> Record:
        """Note a step of each lane where it was accepted, as the lane's step number `index`."""
        record = self if self.is_whole else self._thinned(index, accepted)
        rows, scratch = self.row.shape[0], self.times.shape[0] - 1
        keeps = accepted & (index % record.stride == 0)
        position = jnp.minimum(index // record.stride, rows - 1)
        return record._replace(
            times=_put(record.times, jnp.where(accepted, index + 1, scratch), end),
            kept=record.kept.put(jnp.where(keeps, record.row[position], rows), start),
            stiff=None
            if record.stiff is None
            else _put(record.stiff, jnp.where(accepted, index, scratch - 1), stiff),
        )

    def _thinned(self, index: Int[Array, " lanes"], accepted: Bool[Array, " lanes"]) -> Record:
        """The record with twice the stride, if some lane is at the end of the rows."""
        full = jnp.any(accepted & (index >= self.row.shape[0] * self.stride))
        halves = jnp.concatenate([self.row[0::2], self.row[1::2]])
        return self._replace(
            row=jnp.where(full, halves, self.row), stride=jnp.where(full, 2, 1) * self.stride
        )

    def times_of(self, step: Int[Array, ""]) -> Float[Array, "two lanes"]:
        """Where the lanes' steps with this number began and ended."""
        return lax.dynamic_slice_in_dim(self.times, step, 2)

    def stiff_of(self, step: Int[Array, ""]) -> Bool[Array, " lanes"] | None:
        """Whether the stiff method of a switching one took the lanes' steps with this number."""
        rows = self.stiff
        return None if rows is None else lax.dynamic_index_in_dim(rows, step, keepdims=False)

    def start_of(self, position: Int[Array, ""]) -> Start:
        """The starts of the lanes' steps with number `position * stride`."""
        return self.kept.at(lax.dynamic_index_in_dim(self.row, position, keepdims=False))


def rows_for(steps: int, y: Float[Array, "lanes size"], budget: int) -> int:
    """How many starts a record of so many steps may keep: an even number, or all."""
    affordable = max(FEWEST, budget // max(2 * y.size * y.dtype.itemsize, 1))
    return steps if affordable >= steps else affordable - affordable % 2


def empty_record(
    steps: int,
    t0: Float[Array, " lanes"],
    y: Float[Array, "lanes size"],
    budget: int,
    switching: bool = False,
) -> Record:
    """A record with room for so many steps, whose kept starts take about so many bytes."""
    rows = rows_for(steps, y, budget)
    states = jnp.zeros((rows + 1, *y.shape), y.dtype)
    times = jnp.zeros((steps + 2, y.shape[0]), t0.dtype).at[0].set(t0)
    stiff = jnp.zeros((steps + 1, y.shape[0]), bool) if switching else None
    return Record(times, Start(states, states), jnp.arange(rows), jnp.ones((), jnp.int32), stiff)


def computed_again(rows: int, accepted: Int[Array, " lanes"]) -> Int[Array, " lanes"]:
    """How many steps of each lane a backward walk has to compute again."""
    needed = jnp.maximum(-(-jnp.max(accepted, initial=1) // rows), 1)
    stride = 2 ** jnp.ceil(jnp.log2(needed.astype(jnp.float32))).astype(jnp.int32)
    block = jnp.minimum(stride, BLOCK)

    def within(steps: Int[Array, " lanes"]) -> Int[Array, " lanes"]:
        """From one kept start on: a block at its end needs all before it."""
        blocks, rest = steps // block, steps % block
        return block * blocks * (blocks + 1) // 2 - blocks + jnp.where(rest > 0, steps - 1, 0)

    again = (accepted // stride) * within(stride) + within(accepted % stride)
    return jnp.where(stride == 1, 0, again)


def _put(rows: Array, index: Int[Array, " lanes"], new: Array) -> Array:
    """Write one entry of each lane at its own index."""
    if index.shape[0] == 1:
        return lax.dynamic_update_index_in_dim(rows, new, index[0], axis=0)
    return rows.at[index, jnp.arange(index.shape[0])].set(new)
