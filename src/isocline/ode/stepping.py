"""One step of any method: which function takes it follows from the type of the method."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, Bool, Float

from .step import Field, Step, runge_kutta_step
from .tableaus import Tableau


def take_step(
    method: Tableau,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
    fill: Bool[Array, ""],
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`; see `runge_kutta_step` for the arguments."""
    return runge_kutta_step(method, field, params, start, h, fill)
