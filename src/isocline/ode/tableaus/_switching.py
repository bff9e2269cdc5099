"""Two methods in one: an explicit one, and a stiff one where the problem is stiff."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ._rosenbrock import Rosenbrock
from ._tableau import Tableau


@dataclass(frozen=True)
class Switching:
    """An explicit and a stiff method; each trajectory goes from one to the other as it needs.

    The largest eigenvalue of the Jacobian is followed by the power method, one product with a
    vector every few steps. A step is stiff where its size times the eigenvalue is beyond `margin`
    of what the explicit method is stable for. So many of them in a row, and the method changes.

    Steps of both give the same rows: the coefficients of dense output, the change of the state,
    the error estimate, the field at the new point. What weighs them need not know who made them.

    Attributes:
        explicit, stiff: the methods.
        until_stiff: stiff steps in a row after which the stiff method takes over.
        until_explicit: steps in a row that are not stiff, after which the explicit one does.
        margin: the share of the explicit method's stability that counts as stiff. Both counts
            are those of AutoSwitch in OrdinaryDiffEq.jl; the margin there is 0.9, but at a tight
            tolerance the error estimate holds tsit5 at 0.76 (y' = -1e4 (y - cos 3t), 1e-8: 1819
            steps for 95). Problems that are not stiff stay below 0.7 most of the time, down to a
            tolerance of 1e-2 (oscillator 0.5, Lorenz 0.5, an MLP 0.1).
    """

    explicit: Tableau
    stiff: Rosenbrock
    until_stiff: int = 10
    until_explicit: int = 3
    margin: float = 0.7

    extra = ()
    adaptive = True
    b_error_low = None

    def __post_init__(self) -> None:
        if not self.explicit.adaptive or self.explicit.extra or not self.stiff.adaptive:
            raise ValueError(
                "switching needs error estimates of both methods, and dense output of the explicit "
                f"one without stages of its own, as bosh3, dopri5 and tsit5 have; got {self.name}."
            )

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.explicit.name}+{self.stiff.name}"

    @property
    def order(self) -> int:
        """The lower of the orders."""
        return min(self.explicit.order, self.stiff.order)

    @property
    def estimate_order(self) -> int:
        """The higher of the orders: the controller would rather answer too little than swing."""
        return max(self.explicit.estimate_order, self.stiff.estimate_order)

    @property
    def evaluations(self) -> int:
        """Evaluations of the dearer step."""
        return max(self.explicit.evaluations, self.stiff.evaluations)

    @property
    def jacobians(self) -> int:
        """Jacobians of the dearer step."""
        return self.stiff.jacobians

    @property
    def degree(self) -> int:
        """Rows of dense output."""
        return max(self.explicit.bridge.shape[1], self.stiff.bridge.shape[1])

    @property
    def stages(self) -> int:
        """Rows: dense output, the change, the error estimate, the field at the new point."""
        return self.degree + 3

    @cached_property
    def solution(self) -> Float[np.ndarray, " stages"]:
        """The new state is the old one and the change."""
        return np.eye(self.stages)[self.degree]

    @cached_property
    def b_error(self) -> Float[np.ndarray, " stages"]:
        """The error estimate has a row of its own."""
        return np.eye(self.stages)[self.degree + 1]

    @cached_property
    def bridge(self) -> Float[np.ndarray, "stages degree"]:
        """Dense output, a row a power."""
        return np.eye(self.stages, self.degree)

    @cached_property
    def rows_of_explicit(self) -> Float[np.ndarray, "rows stages"]:
        """Weights of the explicit method's stages in all rows but the last."""
        return self._rows(self.explicit)

    @cached_property
    def rows_of_stiff(self) -> Float[np.ndarray, "rows stages"]:
        """Weights of the stiff method's stages in all rows but the last."""
        return self._rows(self.stiff)

    def _rows(self, method: Tableau | Rosenbrock) -> Float[np.ndarray, "rows stages"]:
        rows = np.zeros((self.stages - 1, method.stages))
        rows[: method.bridge.shape[1]] = method.bridge.T
        rows[self.degree] = method.solution
        rows[self.degree + 1] = method.b_error
        return rows

    @cached_property
    def stability(self) -> float:
        """How far the explicit method is stable along the negative real axis."""
        stages = self.explicit.stages
        matrix, b = self.explicit.matrix[:stages, :stages], self.explicit.b
        # The stability function is a polynomial, 1 + sum_k (b A**k 1) z**(k+1).
        powers, vector = [1.0], np.ones(stages)
        for _ in range(stages):
            powers.append(float(b @ vector))
            vector = matrix @ vector
        points = np.linspace(0.01, 50, 50_000)
        outside = np.abs(np.polynomial.polynomial.polyval(-points, powers)) > 1 + 1e-9
        return float(points[np.argmax(outside)])
