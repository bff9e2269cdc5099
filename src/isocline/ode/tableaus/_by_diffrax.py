"""Methods that Diffrax has, by the names they have here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ByDiffrax:
    """A method that Diffrax runs, with a Newton iteration at each stage.

    Attributes:
        name: the name that users give.
        solver: the class in Diffrax.
        order: order of the solution.
        pairs: whether it takes `f=(explicit part, implicit part)` (IMEX).
    """

    name: str
    solver: str
    order: int
    pairs: bool = False

    adaptive = True


_ALL = (
    ByDiffrax("kvaerno3", "Kvaerno3", 3),
    ByDiffrax("kvaerno4", "Kvaerno4", 4),
    ByDiffrax("kvaerno5", "Kvaerno5", 5),
    ByDiffrax("kencarp3", "KenCarp3", 3, pairs=True),
    ByDiffrax("kencarp4", "KenCarp4", 4, pairs=True),
    ByDiffrax("kencarp5", "KenCarp5", 5, pairs=True),
)
DIFFRAX_METHODS = {method.name: method for method in _ALL}
