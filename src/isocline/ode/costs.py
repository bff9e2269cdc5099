"""What a solve has cost, exactly, from its counts."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Int

from .loop import Counts, Rules, Task, record_size
from .record import computed_again
from .solution import Stats


def evaluations(rules: Rules, task: Task, counts: Counts) -> Int[Array, "*lanes"]:
    """The field evaluations (NFE) a lane has cost."""
    first = 1 + (task.grid is None and task.dt0 is None)
    steps = counts.accepted + counts.rejected
    return first + steps * rules.tableau.evaluations + counts.filled * len(rules.tableau.extra)


def costs(rules: Rules, task: Task, counts: Counts) -> Stats:
    """The statistics of a solve (of each lane)."""
    tableau = rules.tableau
    steps = counts.accepted + computed_again(record_size(rules, task), counts.accepted)
    backward = steps * tableau.evaluations + counts.replayed * len(tableau.extra) + 1
    forward = evaluations(rules, task, counts)
    return Stats(*map(jnp.asarray, (forward, counts.accepted, counts.rejected, backward)))
