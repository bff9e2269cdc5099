"""Butcher tableaus as data: what a Runge-Kutta method is, and nothing of how it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Float

Number = int | float | str | Fraction
Row = Sequence[Number]
SLIP = 1e-7  # by so much sums may be off: published decimals are rounded


def exact(row: Row) -> tuple[Fraction, ...]:
    """The entries of a row (numbers, `"a/b"`, decimals as strings) as exact fractions."""
    return tuple(Fraction(entry) for entry in row)


def dense_array(
    rows: Sequence[Sequence[Fraction]], columns: int
) -> Float[np.ndarray, "rows columns"]:
    """Ragged rows of fractions as one float64 array, padded with zeros on the right."""
    array = np.zeros((len(rows), columns))
    for index, row in enumerate(rows):
        array[index, : len(row)] = [float(entry) for entry in row]
    return array


@dataclass(frozen=True)
class Tableau:
    """An explicit Runge-Kutta method with an embedded error estimate and a continuous extension.

    Every method is brought to one form: the last stage of a step is the field at the new point,
    which is the first stage of the next step ("first same as last"). Methods that do not have
    this property by birth get that stage appended with weight zero; it costs nothing, because the
    next step would have evaluated it anyway, and it is what cubic Hermite output needs.

    Attributes:
        name: the name that users give.
        order: order of the solution that is propagated.
        lower: rows of the strictly lower triangle of A, one for each stage after the first.
        weights: the weights b of the solution, one for each stage of `lower` and the first.
        error: weights of the error estimate (b minus the embedded b), or None: fixed steps only.
        error_low: weights of a second, lower estimate (the 8(5,3) pair combines two), or None.
        output: polynomial coefficients of the continuous extension, one row a stage, column k
            for theta**(k+1); None for cubic Hermite.
        extra: rows of A for stages that only the continuous extension needs; they are evaluated
            in steps that contain a save time, and in no other.
        source: where the coefficients were published.
    """

    name: str
    order: int
    lower: tuple[Row, ...]
    weights: Row
    error: Row | None = None
    error_low: Row | None = None
    output: tuple[Row, ...] | None = None
    extra: tuple[Row, ...] = ()
    source: str = ""

    jacobians = 0

    @cached_property
    def fault(self) -> str | None:
        """What is wrong with it, if anything; those built in are known to be right."""
        return _wrong_shape(self) or _wrong_sum(self)

    @property
    def first_same_as_last(self) -> bool:
        """Whether the published method already ends with the field at the new point."""
        rows = [exact(row) for row in self.lower]
        weights = exact(self.weights)
        return (
            bool(rows)
            and len(rows[-1]) == len(weights) - 1
            and rows[-1] == weights[:-1]
            and not weights[-1]
        )

    @cached_property
    def rows(self) -> tuple[tuple[Fraction, ...], ...]:
        """Rows of A for the stages 2..S of the common form; the last one holds the weights b."""
        rows = tuple(exact(row) for row in self.lower)
        return rows if self.first_same_as_last else (*rows, exact(self.weights))

    @property
    def stages(self) -> int:
        """Stages S in the common form, the shared first one included; a step costs S - 1 evaluations."""
        return len(self.rows) + 1

    @property
    def evaluations(self) -> int:
        """Field evaluations a step costs."""
        return self.stages - 1

    @property
    def estimate_order(self) -> int:
        """The error estimate of a step of size h shrinks like h**estimate_order."""
        return self.order

    @property
    def adaptive(self) -> bool:
        """Whether there is an embedded error estimate to choose steps by."""
        return self.error is not None

    @cached_property
    def matrix(self) -> Float[np.ndarray, "all_stages all_stages"]:
        """A in the common form, the extra stages of the continuous extension included."""
        rows = [(), *self.rows, *(exact(row) for row in self.extra)]
        return dense_array(rows, len(rows))

    @cached_property
    def nodes(self) -> Float[np.ndarray, " all_stages"]:
        """The abscissae c: row sums of A, formed exactly."""
        rows = [(), *self.rows, *(exact(row) for row in self.extra)]
        return np.array([float(sum(row, Fraction(0))) for row in rows])

    @cached_property
    def b(self) -> Float[np.ndarray, " stages"]:
        """The weights of the solution in the common form (the last is zero)."""
        return dense_array([self.rows[-1]], self.stages)[0]

    @property
    def solution(self) -> Float[np.ndarray, " all_stages"]:
        """The weights of the solution, with zeros for the extra stages."""
        return self.matrix[self.stages - 1]

    @cached_property
    def b_error(self) -> Float[np.ndarray, " stages"]:
        """Weights of the error estimate in the common form."""
        return dense_array([exact(self.error or ())], self.stages)[0]

    @cached_property
    def b_error_low(self) -> Float[np.ndarray, " stages"] | None:
        """Weights of the second error estimate in the common form, if the method has one."""
        return (
            None if self.error_low is None else dense_array([exact(self.error_low)], self.stages)[0]
        )

    @cached_property
    def polynomials(self) -> Float[np.ndarray, "all_stages degree"]:
        """The continuous extension y(theta) = y + h * sum_s k_s * sum_k P[s, k] theta**(k+1)."""
        if self.output is None:
            return hermite(self.b)
        rows = [exact(row) for row in self.output]
        return dense_array(rows, max(len(row) for row in rows))

    @cached_property
    def bridge(self) -> Float[np.ndarray, "all_stages degree"]:
        """The continuous extension as w(theta) = theta b + theta (1 - theta) sum_k Q[:, k] theta**k.

        The same polynomial as `polynomials`, but its rounding errors vanish at both ends of the
        step: for dopri8 in float32 they are at most 5e-6, and 2e-7 at the end, where the large
        coefficients of the plain form make it 6e-5 and 4e-5.
        """
        rest = self.polynomials.copy()
        rest[:, 0] -= self.solution
        # Division by (1 - theta) is a running sum; its last entry is the remainder, zero.
        return np.cumsum(rest, axis=1)[:, :-1]


def _wrong_shape(tableau: Tableau) -> str | None:
    """What of its rows has the wrong kind or length."""
    others = (tableau.weights, tableau.error or (), tableau.error_low or ())
    try:
        hash(tableau)
        for row in (*tableau.lower, *others, *tableau.extra, *(tableau.output or ())):
            exact(row)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        return f"its rows must be tuples of numbers, or of fractions as 'a/b': {error}."
    for index, row in enumerate(tableau.lower):
        if len(row) != index + 1:
            return (
                f"row {index} of lower is of stage {index + 2} and must hold {index + 1} numbers, "
                f"one for each stage before; got {len(row)}."
            )
    return _wrong_length(tableau)


def _wrong_length(tableau: Tableau) -> str | None:
    """Which of its other rows does not have one number a stage."""
    stages, own = tableau.stages, len(tableau.lower) + 1
    if len(tableau.weights) != own:
        return f"weights must hold {own} numbers, one for each stage; got {len(tableau.weights)}."
    lengths = {
        "error": (len(tableau.error or ()), stages),
        "error_low": (len(tableau.error_low or ()), stages),
        "output": (len(tableau.output or ()), stages + len(tableau.extra)),
    }
    lengths |= {f"extra row {i}": (len(row), stages + i) for i, row in enumerate(tableau.extra)}
    wrong = [(name, *two) for name, two in lengths.items() if two[0] > two[1]]
    for name, count, most in wrong:
        return f"{name} has {count} entries for {most} stages (one may be the field at the end)."
    return None


def _wrong_sum(tableau: Tableau) -> str | None:
    """Which sum of its numbers is not what it must be, as after a slip of the pen."""
    stages = tableau.stages
    b, c, a = tableau.b, tableau.nodes[:stages], tableau.matrix[:stages, :stages]
    sums = [(1, "weights", b.sum(), 1), (2, "weights times row sums of lower", b @ c, 1 / 2)]
    sums += [(3, "weights times squared row sums of lower", b @ c**2, 1 / 3)]
    sums += [(3, "weights times lower times its row sums", b @ a @ c, 1 / 6)]
    sums += [(1, "error", tableau.b_error.sum(), 0)]
    if tableau.output is not None:
        apart = np.abs(tableau.polynomials.sum(axis=1) - tableau.solution).max()
        sums.append((1, "each row of output, less its weight,", apart, 0))
    for order, name, found, wanted in sums:
        if tableau.order >= order and abs(found - wanted) > SLIP:
            return (
                f"{name} must sum to {wanted:.6g} for order {tableau.order}, and sums to "
                f"{found:.6g}."
            )
    return None


def hermite(weights: Float[np.ndarray, " stages"]) -> Float[np.ndarray, "stages 3"]:
    """Cubic Hermite output through both ends of a step, as polynomials a stage.

    Shu's form y + (3x^2 - 2x^3)(y1 - y) + (x - 2x^2 + x^3) h f + (x^3 - x^2) h f1, where
    y1 - y = h sum b_s k_s, f is the first stage and f1 the last.
    """
    polynomials = np.outer(weights, [0.0, 3.0, -2.0])
    polynomials[0] += [1.0, -2.0, 1.0]
    polynomials[-1] += [0.0, -1.0, 1.0]
    return polynomials
