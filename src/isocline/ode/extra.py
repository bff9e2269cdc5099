"""What our own tools ask of `solve` beyond what its users need."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from .loop import Rules, Task, integrate


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
    rules: Rules, field: Any, params: Any, task: Task
) -> Float[Array, "lanes capacity_and_one"]:
    """Where the accepted steps began and ended, padded with the last time; no gradient.

    This solves once more. The adjoints do not hand on the times in their record; once they do, this
    can go.
    """
    params, task = jax.lax.stop_gradient((params, task))
    state = integrate(rules._replace(record_bytes=1), field, params, task, record=True)
    times = state.record.times[:-1].T  # pyright: ignore[reportOptionalMemberAccess]
    index = jax.numpy.arange(times.shape[1])
    return jax.numpy.where(index <= state.counts.accepted[:, None], times, state.t[:, None])
