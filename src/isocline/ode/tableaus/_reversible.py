"""A Runge-Kutta method made reversible: the method, and how its two states are coupled."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ._tableau import Tableau


@dataclass(frozen=True, kw_only=True)
class Reversible(Tableau):
    """Two states y and z that step each other, so that a step can be undone without any memory.

    With P_h(t, y) what the method adds to y in a step of size h (McCallum & Foster 2024, eq. 5):
    y' = c y + (1 - c) z + P_h(t, z), and z' = z - P_-h(t + h, y').

    Attributes:
        coupling: c, between 0 and 1. Near 1 it loses fewer digits on the way back; below 1 it keeps
            the two states together, which makes the method stable.
    """

    coupling: float = 0.99

    @property
    def evaluations(self) -> int:
        """Field evaluations a step costs: both increments, and the slope at the end is in one."""
        return 2 * (self.stages - 1)


def reversible(base: Tableau) -> Reversible:
    """A method, made reversible; its own continuous extension goes on to serve.

    But if that has stages of its own, which would have to be undone as well: then there is none.
    """
    given = {field.name: getattr(base, field.name) for field in fields(base)}
    return Reversible(**given | ({"output": None, "extra": ()} if base.extra else {}))
