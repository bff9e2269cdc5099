"""What the loop, the controller, dense output and the adjoints ask of a method."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from jaxtyping import Float


class Method(Protocol):
    """A one-step method whose results are weighted sums of the stages that its step returns.

    The step returns `stages` rows, and `len(extra)` more that only dense output needs. The last of
    the `stages` is the field at the new point, where the next step begins.

    Attributes:
        name: the name that users give.
        order: order of the solution that is propagated.
        estimate_order: k, where the error estimate of a step of size h shrinks like h**k.
        evaluations: field evaluations that a step costs beside its first, which it is given.
        jacobians: evaluations of the Jacobian that a step costs.
        adaptive: whether there is an error estimate to choose steps by.
        extra: one entry for each evaluation that only dense output needs.
        solution: weights of all stages in the new state.
        b_error, b_error_low: weights of the error estimate, and of a second one or None.
        bridge: dense output less the straight line, see `Tableau.bridge`.
    """

    @property
    def name(self) -> str: ...
    @property
    def order(self) -> int: ...
    @property
    def estimate_order(self) -> int: ...
    @property
    def stages(self) -> int: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def jacobians(self) -> int: ...
    @property
    def adaptive(self) -> bool: ...
    @property
    def extra(self) -> tuple[Any, ...]: ...
    @property
    def solution(self) -> Float[np.ndarray, " all_stages"]: ...
    @property
    def b_error(self) -> Float[np.ndarray, " stages"]: ...
    @property
    def b_error_low(self) -> Float[np.ndarray, " stages"] | None: ...
    @property
    def bridge(self) -> Float[np.ndarray, "all_stages degree"]: ...
