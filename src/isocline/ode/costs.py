"""What a solve has cost, exactly, from its counts."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from .counts import Counts
from .lanes import width_for
from .loop import record_size
from .record import computed_again
from .solution import Stats
from .stepping import Cost, cost_of
from .tableaus import ByDiffrax, Switching
from .task import Rules, Task, closes, most_steps


def cost(rules: Rules, task: Task, counts: Counts) -> Cost:
    """The evaluations (NFE) a lane has cost: exact, from its steps."""
    attempts = counts.accepted + counts.rejected
    first = 1 + (task.grid is None and task.dt0 is None) - _unclosed(rules, task, attempts)
    spent = cost_of(rules.tableau, attempts, counts.stiff)
    every = first + spent.evaluations + counts.filled * len(rules.tableau.extra)
    return spent._replace(evaluations=every)


def _unclosed(rules: Rules, task: Task, steps: Int[Array, "*lanes"]) -> Int[Array, "*lanes"]:
    """1 where so many steps arrive without an evaluation at the end, else 0."""
    if closes(rules, task):
        return jnp.zeros_like(steps)
    return (steps == most_steps(rules, task)).astype(steps.dtype)


def _again(
    rules: Rules, task: Task, accepted: Int[Array, "*lanes"], alone: Bool[Array, "*lanes"]
) -> Int[Array, "*lanes"]:
    """How many steps an adjoint computes again: a record is of a bunch, or of a lane alone."""
    if not alone.ndim:
        return computed_again(record_size(rules, task), accepted)
    bunch, one = (
        record_size(rules, task._replace(y0=task.y0[:, :lanes]))
        for lanes in (width_for(task.y0), 1)
    )
    together = computed_again(bunch, jnp.where(alone, 0, accepted))
    return jnp.where(alone, jax.vmap(partial(computed_again, one))(accepted), together)


def costs(rules: Rules, task: Task, counts: Counts, alone: Bool[Array, "*lanes"]) -> Stats:
    """The statistics of a solve (of each lane).

    Args:
        alone: which lanes were solved by themselves, and not in a bunch.
    """
    method = rules.tableau
    if isinstance(method, ByDiffrax):
        unknown = jnp.full_like(counts.accepted, -1)
        return Stats(unknown, counts.accepted, counts.rejected, unknown, unknown)
    again = _again(rules, task, counts.accepted, alone)
    # Who took the steps that are computed again is not counted: as if the stiff method had.
    stiff = counts.stiff_accepted + (again if isinstance(method, Switching) else 0)
    backward = cost_of(method, counts.accepted + again, stiff).evaluations
    backward += counts.replayed * len(method.extra) + 1
    backward -= _unclosed(rules, task, counts.accepted)
    spent = cost(rules, task, counts)
    return Stats(spent.evaluations, counts.accepted, counts.rejected, backward, spent.jacobians)
