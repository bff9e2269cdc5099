"""A Runge-Kutta method made reversible: the method, and how its two states are coupled."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ._tableau import Tableau

COUPLING = 0.99
DIGITS = 1 / 3  # of those that a number has may be lost on the way back


@dataclass(frozen=True, kw_only=True)
class Reversible(Tableau):
    """Two states y and z that step each other, so that a step can be undone without any memory.

    With P_h(t, y) what the method adds to y in a step of size h (McCallum & Foster 2024, eq. 5):
    y' = c y + (1 - c) z + P_h(t, z), and z' = z - P_-h(t + h, y').

    Attributes:
        coupling: c, between 0 and 1. Below 1 it keeps the two states together: fields that contract
            by less than 1 - c in a step are safe, others drive them apart. On the way back rounding
            grows by 1 / c in every step, so it is nearer to 1 where there are many.
    """

    coupling: float = COUPLING

    @property
    def evaluations(self) -> int:
        """Field evaluations a step costs: both increments, and the slope at the end is in one."""
        return 2 * (self.stages - 1)


def reversible(base: Tableau, steps: int, rounding: float) -> Reversible:
    """A method, made reversible; its own continuous extension goes on to serve.

    But if that has stages of its own, which would have to be undone as well: then there is none.

    Args:
        steps: that there may be; on the way back through all of them a third of the digits is lost.
        rounding: the relative error of a number.
    """
    given = {field.name: getattr(base, field.name) for field in fields(base)}
    coupling = max(COUPLING, 1 + DIGITS * math.log(rounding) / steps)
    extension = {"output": None, "extra": ()} if base.extra else {}
    return Reversible(**given | extension, coupling=coupling)
