"""One step of any method: which function takes it follows from the type of the method."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Bool, Float

from .field import Field
from .implicit import rosenbrock_step
from .step import Step, runge_kutta_step
from .tableaus import Method, Rosenbrock, Tableau


def take_step(
    method: Method,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
    fill: Bool[Array, ""],
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`; see `runge_kutta_step` for the arguments."""
    if isinstance(method, Rosenbrock):
        return rosenbrock_step(method, field, params, start, h)
    if isinstance(method, Tableau):
        return runge_kutta_step(method, field, params, start, h, fill)
    raise TypeError(f"there is no step for a method of type {type(method).__name__}.")
