"""What is to be solved, and how, in the loop's own terms."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Array, Float

from .control import Controller
from .grid import Grid
from .progress import Meter
from .stepping import is_explicit
from .tableaus import Method


class Rules(NamedTuple):
    """How to step: static for a whole solve, and hashable by identity.

    Attributes:
        measured: components from this one on are not in the error norm (None: all are).
        record_bytes: what a record may take, times apart.
        meter: is told how far the solve is, or None.
        unrolled: without any inner loop that JAX can not differentiate in reverse.
        events: the directions of the events that end a solve.
        domain: whether there is one that no step may leave.
        dense: whether to keep all steps for dense output.
        open_end: whether it may end elsewhere than at its last save time, and goes on from there.
    """

    tableau: Method
    controller: Controller
    measured: int | None
    max_steps: int
    record_bytes: int = 0
    meter: Meter | None = None
    unrolled: bool = False
    events: tuple[int, ...] = ()
    open_end: bool = False
    domain: bool = False
    dense: bool = False


class Task(NamedTuple):
    """What to solve, in the loop's own terms.

    The clock shows the time since the start, whatever the direction, so that far from t=0 no digit
    is lost; the field knows how to read it. A state is one row of numbers. Lanes come last.

    Attributes:
        side: the signs of the conditions of events at the start, if there are events.
    """

    y0: Float[Array, "size *lanes"]
    t1: Float[Array, "*lanes"]
    ts: Float[Array, "times *lanes"]
    rtol: Float[Array, "*lanes"]
    atol: Float[Array, "*lanes"]
    dt0: Float[Array, "*lanes"] | None
    grid: Grid | None
    side: Float[Array, "events *lanes"] | None = None

    @property
    def between(self) -> bool:
        """Whether there can be save times between the ends of steps."""
        return self.ts.shape[0] > 1


def most_steps(rules: Rules, task: Task) -> int:
    """How many attempts at a step there can be."""
    fixed = None if task.grid is None else task.grid.steps + bool(rules.events)
    return rules.max_steps if fixed is None else fixed


def closes(rules: Rules, task: Task) -> bool:
    """Whether the field at the very end is evaluated: with fixed steps nobody may ask for it."""
    asked = task.between or rules.events or rules.open_end or rules.dense or rules.domain
    fixed = task.grid is not None and is_explicit(rules.tableau)
    return bool(asked or not fixed)
