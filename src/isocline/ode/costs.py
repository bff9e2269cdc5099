"""What a solve has cost, exactly, from its counts."""

from __future__ import annotations

import jax.numpy as jnp

from .counts import Counts
from .loop import Rules, Task, record_size
from .record import computed_again
from .solution import Stats
from .stepping import Cost, cost_of
from .tableaus import ByDiffrax, Switching


def cost(rules: Rules, task: Task, counts: Counts) -> Cost:
    """The evaluations (NFE) a lane has cost: exact, from its steps."""
    first = 1 + (task.grid is None and task.dt0 is None)
    spent = cost_of(rules.tableau, counts.accepted + counts.rejected, counts.stiff)
    every = first + spent.evaluations + counts.filled * len(rules.tableau.extra)
    return spent._replace(evaluations=every)


def costs(rules: Rules, task: Task, counts: Counts) -> Stats:
    """The statistics of a solve (of each lane)."""
    method = rules.tableau
    if isinstance(method, ByDiffrax):
        unknown = jnp.full_like(counts.accepted, -1)
        return Stats(unknown, counts.accepted, counts.rejected, unknown, unknown)
    again = computed_again(record_size(rules, task), counts.accepted)
    # Who took the steps that are computed again is not counted: as if the stiff method had.
    stiff = counts.stiff_accepted + (again if isinstance(method, Switching) else 0)
    backward = cost_of(method, counts.accepted + again, stiff).evaluations
    backward += counts.replayed * len(method.extra) + 1
    spent = cost(rules, task, counts)
    return Stats(spent.evaluations, counts.accepted, counts.rejected, backward, spent.jacobians)
