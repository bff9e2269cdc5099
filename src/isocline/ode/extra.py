"""What our own tools ask of `solve` beyond what its users need."""

from __future__ import annotations

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .field import Field, Params
from .loop import first_steps, integrate, record_size
from .record import Record, empty_record
from .stepping import note_rows
from .task import Rules, Task


class Extra(NamedTuple):
    """Static wishes of a tool; the default asks for nothing.

    Attributes:
        quadratures: so many numbers at the end of each trajectory's state (in the order of
            `jax.tree.leaves`) are integrated, but do not drive the step size.
        steps: keep where the accepted steps began and ended, as `Solution.steps`.
    """

    quadratures: int = 0
    steps: bool = False

    def measured(self, size: int) -> int | None:
        """How many components of a state of this size are in the error norm (None: all)."""
        return size - self.quadratures if self.quadratures else None


def step_times(
    rules: Rules, field: Field, params: Params, task: Task
) -> Float[Array, "most_steps_and_one *lanes"]:
    """When the accepted steps began and ended, from zero on, padded with the last time.

    Without gradient. This solves once more: the adjoints do not hand on the times in their record,
    or have none; once they do, this can go.
    """
    params, task = jax.lax.stop_gradient((params, task))
    rules = rules._replace(record_bytes=1, unrolled=False)
    record = empty_record(record_size(rules, task), note_rows(rules.tableau, task.between), task.y0)
    first = first_steps(rules, field, params, task)
    state = integrate(rules, field, params, task, first, record)
    times = cast(Array, cast(Record, state.record).times)
    return _moves_only(times) if times.ndim == 1 else jax.vmap(_moves_only, -1, -1)(times)


def _moves_only(times: Float[Array, " rows"]) -> Float[Array, " rows"]:
    """Times that rise, without the repeats of a lane that waited or was rejected, and the rest."""
    moved = times[1:] > times[:-1]
    index = jnp.where(moved, jnp.cumsum(moved), times.shape[0])
    last = jnp.max(times, initial=0)
    return jnp.full_like(times, last).at[0].set(times[0]).at[index].set(times[1:], mode="drop")
