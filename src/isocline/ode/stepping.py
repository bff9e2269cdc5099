"""What a solve does with a method, whatever its type: one step, and what steps cost."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int

from .field import Field
from .implicit import Mode, rosenbrock_step, switching_step
from .step import Step, runge_kutta_step
from .tableaus import Method, Rosenbrock, Switching, Tableau


def take_step(
    method: Method,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
    fill: Bool[Array, ""],
    *,
    stiff: Bool[Array, " lanes"] | None = None,
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`; see `runge_kutta_step` for the arguments.

    Args:
        stiff: of a switching method: which lanes take the stiff one.
    """
    if isinstance(method, Switching):
        assert stiff is not None
        return switching_step(method, field, params, start, h, stiff)
    if isinstance(method, Rosenbrock):
        return rosenbrock_step(method, field, params, start, h)
    if isinstance(method, Tableau):
        return runge_kutta_step(method, field, params, start, h, fill)
    raise TypeError(f"there is no step for a method of type {type(method).__name__}.")


def first_mode(method: Method, y: Float[Array, "lanes size"]) -> Mode | None:
    """What a method carries from step to step: nothing, but for a switching one."""
    return Mode.first(y) if isinstance(method, Switching) else None


class Cost(NamedTuple):
    """What steps of each lane cost.

    Attributes:
        evaluations: of the field.
        jacobians: of the Jacobian.
    """

    evaluations: Int[Array, " lanes"]
    jacobians: Int[Array, " lanes"]


def cost_of(
    method: Method, steps: Int[Array, " lanes"], stiff: Int[Array, " lanes"] | None
) -> Cost:
    """What so many steps cost, without the extra stages of dense output.

    Args:
        stiff: of a switching method: how many of them the stiff one took.
    """
    if not isinstance(method, Switching):
        return Cost(steps * method.evaluations, steps * method.jacobians)
    explicit = steps - stiff
    return Cost(
        explicit * method.explicit.evaluations + stiff * method.stiff.evaluations,
        stiff * method.stiff.jacobians,
    )
