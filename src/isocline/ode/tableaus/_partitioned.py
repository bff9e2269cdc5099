"""Symplectic splittings of separable systems as data: weights of kicks and of drifts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate

from ._tableau import Number, Row, Tableau, exact


@dataclass(frozen=True, kw_only=True)
class Partitioned(Tableau):
    """A composition of kicks and drifts for `dq/dt = v(t, p)`, `dp/dt = a(t, q)`.

    A step is kick, drift, kick, ..., drift, kick: `p += b_i h a(t, q)` and `q += a_i h v(t, p)`.

    As a tableau, which is how saves, statistics and adjoints see it, it has three stages: the slope
    at the start, the mean slope of the step, which has all the weight, and the slope at the end.
    They make cubic Hermite output.

    Attributes:
        kicks: the weights b, one more than there are drifts.
        drifts: the weights a.
    """

    lower: tuple[Row, ...] = ((0,),)
    weights: Row = (0, 1)
    kicks: tuple[Fraction, ...]
    drifts: tuple[Fraction, ...]

    @property
    def evaluations(self) -> int:
        """Calls of the field a step makes: one a drift, one a kick, and one for the slope at the end.

        The first kick has its acceleration from the step before. Each of these calls is for one half
        of the slope only; where the halves are computed apart, XLA leaves the other one out.
        """
        return 2 * len(self.drifts) + 1

    @cached_property
    def kick_times(self) -> tuple[float, ...]:
        """When each kick happens, as a share of the step: what the drifts before it add up to."""
        return tuple(map(float, accumulate(self.drifts, initial=Fraction(0))))

    @cached_property
    def drift_times(self) -> tuple[float, ...]:
        """When each drift happens, as a share of the step: what the kicks before it add up to."""
        return tuple(map(float, accumulate(self.kicks[:-1])))


def symmetric(*outer: Number, count: int) -> tuple[Fraction, ...]:
    """So many weights that read the same from both ends and add up to one.

    Args:
        outer: the weights from the end inwards, but for the innermost, which follow from the sum.
        count: how many there are in all.
    """
    given = exact(outer)
    rest = 1 - 2 * sum(given, Fraction(0))
    inner = (rest,) if count % 2 else (rest / 2, rest / 2)
    return (*given, *inner, *reversed(given))


leapfrog = Partitioned(
    "leapfrog",
    2,
    kicks=symmetric(count=2),
    drifts=symmetric(count=1),
    source="Stormer (1907), Verlet (1967), Phys. Rev. 159:98, in velocity form",
)

# 1 / (2 - 2**(1/3)), the first of three leapfrog steps that make one of order four.
_YOSHIDA = Fraction("1.351207191959657634047687808971460826922")

yoshida4 = Partitioned(
    "yoshida4",
    4,
    kicks=symmetric(_YOSHIDA / 2, count=4),
    drifts=symmetric(_YOSHIDA, count=3),
    source="Yoshida (1990), Phys. Lett. A 150:262; Forest & Ruth (1990), Physica D 43:105",
)

blanes_moan4 = Partitioned(
    "blanes_moan4",
    4,
    kicks=symmetric("0.0792036964311957", "0.353172906049774", "-0.0420650803577195", count=7),
    drifts=symmetric("0.209515106613362", "-0.143851773179818", count=6),
    source="Blanes & Moan (2002), J. Comput. Appl. Math. 142:313, S6 of order 4",
)

blanes_moan6 = Partitioned(
    "blanes_moan6",
    6,
    kicks=symmetric(
        *("0.0502627644003922", "0.413514300428344", "0.0450798897943977"),
        *("-0.188054853819569", "0.541960678450780"),
        count=11,
    ),
    drifts=symmetric(
        *("0.148816447901042", "-0.132385865767784", "0.067307604692185", "0.432666402578175"),
        count=10,
    ),
    source="Blanes & Moan (2002), J. Comput. Appl. Math. 142:313, S10 of order 6",
)
