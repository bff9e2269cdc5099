"""Reversible: the exact gradient in memory that does not grow with the number of steps.

The method is made algebraically reversible (McCallum & Foster 2024, "Efficient, accurate and stable
gradients for neural ODEs"): the backward loop finds each state from the next one, up to rounding.
What is recorded are the times of adaptive steps only. A step costs twice the evaluations.

A field that contracts forgets where it came from, and no method could find it again without a
record. There the two states of the method drift apart, which is looked for at the end.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ...errors import InputError
from ..field import Field, Params
from ..loop import Outcome
from ..reversible import doubled
from ..status import Status, succeeded
from ..tableaus import Known, Tableau
from ..task import Rules, Task
from .replay import replay

# What the two states may differ by, as a part of the solution. Few fixed steps may be as crude as
# they like; of adaptive ones it is so many tolerances, or this; and where tolerances are fine, not
# more than so many of them. Measured on six linear fields, in single and in double precision: in
# sound solves they differ by 20 tolerances at most (by 65 where it contracts by a factor of 400),
# in lost ones by 400 and more, and the error is half of that.
CRUDE, COARSE, FINE, TOLERANCES = 1.0, 10, 0.02, 100
ROUNDING = 8  # units in the last place, of a tolerance that is finer


def reversible(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve with two coupled states; reverse mode walks the steps back, undoing each.

    The method of the rules is to be a `Reversible` one.
    """
    size = task.y0.shape[0]
    measured = size if rules.measured is None else rules.measured
    rules = rules._replace(measured=measured)
    both = task._replace(y0=jnp.concatenate([task.y0, task.y0]))
    outcome = replay(rules, doubled(field), params, both)
    apart = _are_apart(outcome.y, task)
    # Where they are apart, what a step that blows up says of the field is not certain.
    told = succeeded(outcome.status) | (outcome.status == Status.NON_FINITE)
    status = jnp.where(told & apart, Status.STATES_APART, outcome.status)
    # No gradient comes from a solve that failed.
    ys, y = (
        jnp.where(apart, jax.lax.stop_gradient(values), values)
        for values in (outcome.saved.ys[:, :size], outcome.y[:size])
    )
    component = outcome.component % size if size else outcome.component
    saved, dense = outcome.saved._replace(ys=ys), outcome.dense
    if dense is not None:
        dense = dense._replace(y=dense.y[:, :size], slopes=dense.slopes[:, :, :size])
    return outcome._replace(
        status=status, y=y, f=outcome.f[:size], component=component, saved=saved, dense=dense
    )


def _are_apart(both: Float[Array, "twice *lanes"], task: Task) -> Bool[Array, "*lanes"]:
    """Whether the two states differ by more than they may."""
    first, second = jax.lax.stop_gradient(jnp.split(both, 2))
    drift, size, before = (
        jnp.max(jnp.abs(values), axis=0, initial=0)
        for values in (first - second, first, jax.lax.stop_gradient(task.y0))
    )
    # What the solution has been: its end may be next to zero.
    size = jnp.maximum(jnp.maximum(size, before), jnp.finfo(drift.dtype).tiny)
    if task.grid is not None:
        return drift > CRUDE * size
    crude = jnp.maximum(COARSE * task.rtol, FINE) * size
    # Rounding alone moves them apart by this much.
    rtol = jnp.maximum(task.rtol, ROUNDING * jnp.finfo(drift.dtype).eps)
    fine = TOLERANCES * (task.atol + rtol * size)
    return drift > jnp.minimum(crude + COARSE * task.atol, fine)


def check_reversible(method: Known, between: bool) -> None:
    """Whether a method can be made reversible.

    Raises:
        InputError: it is no explicit Runge-Kutta method, or has no output of its own stages.
    """
    if type(method) is not Tableau:
        raise InputError(
            f"adjoint='reversible' needs an explicit Runge-Kutta method, which {method.name!r} is "
            "not: use method='tsit5', or adjoint='replay'."
        )
    if method.extra and between:
        raise InputError(
            f"adjoint='reversible' can not save between the steps of {method.name!r}, whose dense "
            "output has stages of its own: ask for one save time, without dense=True, or use "
            "method='tsit5'."
        )
