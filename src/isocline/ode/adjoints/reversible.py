"""Reversible: the exact gradient in memory that does not grow with the number of steps.

The method is made algebraically reversible (McCallum & Foster 2024, "Efficient, accurate and stable
gradients for neural ODEs"): the backward loop finds each state from the next one, up to rounding.
What is recorded are the times of adaptive steps only. A step costs twice the evaluations.
"""

from __future__ import annotations

import jax.numpy as jnp

from ...errors import InputError
from ..field import Field, Params
from ..loop import Outcome
from ..reversible import doubled
from ..tableaus import Known, Tableau
from ..task import Rules, Task
from .replay import replay


def reversible(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve with two coupled states; reverse mode walks the steps back, undoing each.

    The method of the rules is to be a `Reversible` one.
    """
    size = task.y0.shape[0]
    measured = size if rules.measured is None else rules.measured
    rules = rules._replace(measured=measured)
    both = task._replace(y0=jnp.concatenate([task.y0, task.y0]))
    outcome = replay(rules, doubled(field), params, both)
    saved = outcome.saved._replace(ys=outcome.saved.ys[:, :size])
    component = outcome.component % size if size else outcome.component
    return outcome._replace(
        y=outcome.y[:size], f=outcome.f[:size], component=component, saved=saved
    )


def check_reversible(method: Known, times: int) -> None:
    """Whether a method can be made reversible.

    Raises:
        InputError: it is no explicit Runge-Kutta method, or has no output of its own stages.
    """
    if type(method) is not Tableau:
        raise InputError(
            f"adjoint='reversible' needs an explicit Runge-Kutta method, which {method.name!r} is "
            "not: use method='tsit5', or adjoint='replay'."
        )
    if method.extra and times > 1:
        raise InputError(
            f"adjoint='reversible' can not save between the steps of {method.name!r}, whose dense "
            "output has stages of its own: ask for one save time, or use method='tsit5'."
        )
