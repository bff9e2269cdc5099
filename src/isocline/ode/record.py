"""The record of the accepted steps that an adjoint replays, within a budget of memory.

Times of all steps are kept, but of steps on a grid, which has them. Of the first steps, as many as
fit, the notes are kept as well, which are all that a pullback needs. Of the later ones it keeps
where they began, while there is room. When that is full, every second one is given up, and from
then on only every second is kept; and so on. What lies between is computed again, a block at a
time, by the steps that were taken (checkpoints while the length is not known: Stumm & Walther
2010). A large buffer would be dear even where it stays empty, because XLA fills it with zeros
first.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .step import Start, put

FEWEST = 8  # steps that are kept, however large they are
BLOCK = 8  # steps that are computed again at once; a power of two


class Kept(NamedTuple):
    """Where steps began: of every `stride`-th one, in rows.

    Attributes:
        row: which row holds the start of step `position * stride`.
        stride: a power of two.
    """

    y: Float[Array, "rows size *lanes"]
    f: Float[Array, "rows size *lanes"]
    row: Int[Array, " rows"]
    stride: Int[Array, ""]

    def thinned(self, index: Int[Array, ""]) -> Kept:
        """With twice the stride, if there is no row left for this step."""
        full = index >= self.row.shape[0] * self.stride
        halves = jnp.concatenate([self.row[0::2], self.row[1::2]])
        row = jnp.where(full, halves, self.row)
        return self._replace(row=row, stride=jnp.where(full, 2, 1) * self.stride)

    def write(self, index: Int[Array, ""], start: Start) -> Kept:
        """Keep the start of this step, if it is one to be kept."""
        kept = self.thinned(index)
        position = jnp.clip(index // kept.stride, 0, self.row.shape[0] - 1)
        # The last row is scratch.
        keeps = (index >= 0) & (index % kept.stride == 0)
        row = jnp.where(keeps, kept.row[position], self.row.shape[0])
        return kept._replace(y=put(kept.y, row, start.y), f=put(kept.f, row, start.f))

    def at(self, position: Int[Array, ""]) -> tuple[Array, Array]:
        """State and field at the start of step `position * stride`."""
        row = self.row[jnp.minimum(position, self.row.shape[0] - 1)]
        return self.y[row], self.f[row]


class Record(NamedTuple):
    """Steps in the order they were taken; lanes that step together share a row.

    Attributes:
        times: when each step began, and when the last one ended; lanes that did not get on repeat
            theirs. None where all are on a grid.
        notes: of the first steps.
        kept: starts of the later ones; None if there is room for the notes of all.
        stiff: which steps a switching method took with the stiff one; None for other methods.
    """

    times: Float[Array, "steps_and_one *lanes"] | None
    notes: Float[Array, "noted rows size *lanes"]
    kept: Kept | None
    stiff: Bool[Array, "steps *lanes"] | None

    @property
    def noted(self) -> int:
        """Of how many steps there are notes; where there is more, the last row is scratch."""
        return self.notes.shape[0] - (self.kept is not None)

    def emptied(self) -> Record:
        """The same room for another solve."""
        if self.kept is None:
            return self
        first = jnp.arange(self.kept.row.shape[0], dtype=jnp.int32)
        return self._replace(
            kept=self.kept._replace(row=first, stride=jnp.ones_like(self.kept.stride))
        )

    def write(
        self,
        index: Int[Array, ""],
        start: Start,
        end: Float[Array, "*lanes"],
        notes: Float[Array, "rows size *lanes"],
        accepted: Bool[Array, "*lanes"],
    ) -> Record:
        """Note an attempt as step `index`; one that no lane accepted is overwritten later."""
        times = self.times
        if times is not None:
            times = put(times, index + 1, jnp.where(accepted, end, start.t))
        stiff = self.stiff
        if stiff is not None and start.stiff is not None:
            stiff = put(stiff, index, start.stiff)
        if self.kept is None:
            return Record(times, put(self.notes, index, notes), None, stiff)
        kept = self.kept.write(index - self.noted, start)
        noted = put(self.notes, jnp.minimum(index, self.noted), notes)
        return Record(times, noted, kept, stiff)

    def stiff_at(self, step: Int[Array, ""]) -> Bool[Array, "*lanes"] | None:
        """Which of two methods took the step, if there are two."""
        return None if self.stiff is None else self.stiff[step]


class Size(NamedTuple):
    """How many steps a record holds: times of all, notes of the first, starts of some others."""

    steps: int
    noted: int
    kept: int


def size_for(steps: int, rows: int, state: int, budget: int) -> Size:
    """What a record of so many steps keeps within a budget.

    Args:
        rows: rows of notes a step, each as large as a state.
        state: bytes of a state.
        budget: bytes of notes and starts together.
    """
    row = max(state, 1)
    noted = max(FEWEST, 3 * budget // 4 // max(rows * row, 1))
    if noted >= steps or not rows:
        return Size(steps, steps, 0)
    kept = max(FEWEST, budget // 4 // (2 * row))
    return Size(steps, noted, kept - kept % 2)


def empty_record(
    size: Size,
    rows: int,
    y: Float[Array, "size *lanes"],
    *,
    switches: bool = False,
    timed: bool = True,
) -> Record:
    """A record of this size, for states like this.

    Args:
        switches: of a switching method.
        timed: with the times of the steps.
    """
    stiff = jnp.zeros((size.steps, *y.shape[1:]), bool) if switches else None
    times = jnp.zeros((size.steps + 1, *y.shape[1:]), y.dtype) if timed else None
    scratch = int(size.kept > 0)
    notes = jnp.zeros((size.noted + scratch, rows, *y.shape), y.dtype)
    if not size.kept:
        return Record(times, notes, None, stiff)
    starts = jnp.zeros((size.kept + 1, *y.shape), y.dtype)
    first = jnp.arange(size.kept, dtype=jnp.int32)
    return Record(times, notes, Kept(starts, starts, first, jnp.ones((), jnp.int32)), stiff)


def computed_again(size: Size, accepted: Int[Array, "*lanes"]) -> Int[Array, "*lanes"]:
    """How many steps (of each lane) a backward walk has to compute again."""
    if not size.kept:
        return jnp.zeros_like(accepted)
    late = jnp.maximum(accepted - size.noted, 0)
    needed = jnp.maximum(-(-jnp.max(late, initial=1) // size.kept), 1)
    stride = 2 ** jnp.ceil(jnp.log2(needed.astype(jnp.float32))).astype(jnp.int32)
    block = jnp.minimum(stride, BLOCK)

    def within(steps: Int[Array, "*lanes"]) -> Int[Array, "*lanes"]:
        """From one kept start on: a block at its end needs all before it."""
        blocks, rest = steps // block, steps % block
        return block * blocks * (blocks + 1) // 2 + jnp.where(rest > 0, steps, 0)

    return (late // stride) * within(stride) + within(late % stride)
