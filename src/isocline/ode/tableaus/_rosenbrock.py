"""Rosenbrock methods as data: implicit in a linear system a stage, with no Newton iteration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ._tableau import Number, Row, dense_array, exact


@dataclass(frozen=True)
class Rosenbrock:
    """A Rosenbrock method in the transformed form of Hairer & Wanner (1996), IV.7, eq. (7.25).

    With U_i = u_i / h, J the Jacobian and f_t the derivative by time at the start of the step::

        (1/gamma - h J) U_i = f(t + c_i h, y + h sum_j A_ij U_j) + sum_j C_ij U_j + d_i h f_t
        y1 = y + h sum_i m_i U_i

    The nodes c and the factors d follow from gamma, A and C. As in a `Tableau`, the field at the
    new point is appended as a last stage of weight zero: the next step begins with it.

    Attributes:
        name: the name that users give.
        order: order of the solution that is propagated.
        gamma: the diagonal of Gamma: all stages share one matrix.
        lower: rows of A, one for each stage after the first.
        coupling: rows of C, likewise.
        weights: m, one a stage.
        error: weights of the error estimate, one a stage, or None: fixed steps only.
        output: Q, column k for theta**k, one row a stage, of the dense output
            y + theta h sum_i m_i U_i + theta (1 - theta) h sum_i U_i sum_k Q_ik theta**k.
        estimate_order: the error estimate of a step of size h shrinks like h**estimate_order.
        any_matrix: whether it keeps its order with any matrix for J and f_t (a W-method).
        source: where the coefficients were published.
    """

    name: str
    order: int
    gamma: Number
    lower: tuple[Row, ...]
    coupling: tuple[Row, ...]
    weights: Row
    error: Row | None
    output: tuple[Row, ...]
    estimate_order: int
    any_matrix: bool = False
    source: str = ""

    extra = ()
    jacobians = 1
    b_error_low = None

    @property
    def implicit_stages(self) -> int:
        """Stages that solve a linear system."""
        return len(self.lower) + 1

    @property
    def stages(self) -> int:
        """Stages in the common form: the field at the new point is the last."""
        return self.implicit_stages + 1

    @cached_property
    def evaluations(self) -> int:
        """Field evaluations a step costs; its first stage has the field of the step before."""
        return self.implicit_stages - int(self.ends_at_new_point)

    @cached_property
    def ends_at_new_point(self) -> bool:
        """Whether the last stage evaluates the field at the new point (of an estimate only)."""
        last = np.allclose(self.a[-1], self.m, rtol=0, atol=1e-14)
        return bool(last and abs(self.nodes[-1] - 1) < 1e-14)

    @property
    def adaptive(self) -> bool:
        """Whether there is an embedded error estimate to choose steps by."""
        return self.error is not None

    @cached_property
    def a(self) -> Float[np.ndarray, "implicit implicit"]:
        """A."""
        return _square(self.lower)

    @cached_property
    def c(self) -> Float[np.ndarray, "implicit implicit"]:
        """C."""
        return _square(self.coupling)

    @cached_property
    def m(self) -> Float[np.ndarray, " implicit"]:
        """The weights of the solution, without the last stage of the common form."""
        return dense_array([exact(self.weights)], self.implicit_stages)[0]

    @cached_property
    def gammas(self) -> Float[np.ndarray, "implicit implicit"]:
        """Gamma of the plain form, k_i = f(...) + h J sum_j Gamma_ij k_j: U = Gamma k."""
        return np.linalg.inv(np.eye(self.implicit_stages) / float(self.gamma) - self.c)

    @cached_property
    def alphas(self) -> Float[np.ndarray, "implicit implicit"]:
        """Alpha of the plain form: the stages lie at y + h sum_j alpha_ij k_j."""
        return self.a @ self.gammas

    @cached_property
    def nodes(self) -> Float[np.ndarray, " implicit"]:
        """The abscissae: row sums of alpha."""
        return self.alphas.sum(axis=1)

    @cached_property
    def d(self) -> Float[np.ndarray, " implicit"]:
        """The factors of h f_t: row sums of Gamma. Less than rounding is zero."""
        sums = self.gammas.sum(axis=1)
        return np.where(np.abs(sums) < 1e-13, 0, sums)

    @cached_property
    def solution(self) -> Float[np.ndarray, " stages"]:
        """The weights of the solution in the common form."""
        return np.append(self.m, 0)

    @cached_property
    def b_error(self) -> Float[np.ndarray, " stages"]:
        """Weights of the error estimate in the common form."""
        return dense_array([exact(self.error or ())], self.stages)[0]

    @cached_property
    def bridge(self) -> Float[np.ndarray, "stages degree"]:
        """The matrix Q of the dense output in the common form."""
        rows = [exact(row) for row in self.output]
        return dense_array([*rows, ()], max(len(row) for row in rows))


def from_plain(
    name: str,
    order: int,
    alpha: Float[np.ndarray, "implicit implicit"],
    gammas: Float[np.ndarray, "implicit implicit"],
    weights: dict[str, Float[np.ndarray, "..."]],
    **rest,
) -> Rosenbrock:
    """A method that was published in the plain form, in which J is multiplied by sums of stages.

    Args:
        alpha, gammas: the matrices of the plain form.
        weights: `solution`, `error` (one a stage), and `output` (one row a stage).
        rest: the other attributes.
    """
    back = np.linalg.inv(gammas)
    gamma = float(gammas[0, 0])
    a, c = alpha @ back, np.eye(len(alpha)) / gamma - back
    return Rosenbrock(
        name,
        order,
        gamma=gamma,
        lower=_below(a),
        coupling=_below(c),
        weights=_rounded(weights["solution"] @ back),
        error=_rounded(weights["error"] @ back),
        output=tuple(map(_rounded, back.T @ weights["output"])),
        **rest,
    )


def _below(matrix: Float[np.ndarray, "size size"]) -> tuple[Row, ...]:
    """The rows below the diagonal."""
    return tuple(_rounded(matrix[row, :row]) for row in range(1, len(matrix)))


def _rounded(row: Float[np.ndarray, " size"]) -> Row:
    """The row, with zeros where rounding left something else."""
    return tuple(float(entry) if abs(entry) > 1e-14 else 0 for entry in row)


def _square(rows: tuple[Row, ...]) -> Float[np.ndarray, "size size"]:
    return dense_array([(), *(exact(row) for row in rows)], len(rows) + 1)
