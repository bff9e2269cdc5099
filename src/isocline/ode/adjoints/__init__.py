"""Adjoints: how the gradient of a solve is formed.

Each is one function `run(rules, field, params, task) -> Outcome`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..field import Field, Params
from ..loop import Outcome
from ..refusing import reverse_only
from ..task import Rules, Task
from .backsolve import backsolve
from .choice import Choice as Choice
from .choice import Wish as Wish
from .choice import choose as choose
from .forward import direct, forward
from .replay import replay
from .reversible import reversible


def _in_reverse_only(adjoint: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """An adjoint that says so where it is differentiated in another mode."""

    def run(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
        outcome = adjoint(rules, field, *reverse_only((params, task)))
        dense = outcome.dense
        return outcome._replace(dense=None if dense is None else dense.without_gradient())

    return run


ADJOINTS = {
    "replay": _in_reverse_only(replay),
    "reversible": _in_reverse_only(reversible),
    "backsolve": _in_reverse_only(backsolve),
    "forward": forward,
    "direct": direct,
}
