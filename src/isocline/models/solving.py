"""How a model solves its field: what `isocline.solve` is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array


@dataclass(frozen=True)
class Solving:
    """How a model is solved.

    Attributes:
        method, rtol, atol, steps, adjoint: as in `isocline.solve`; with `steps`, a fixed number of
            equal ones, the tolerances say nothing.
        dt0: the first step to try; guessed, at the cost of one evaluation, if not given.
    """

    method: str = "tsit5"
    rtol: float | Array = 1e-3
    atol: float | Array = 1e-3
    steps: int | None = None
    dt0: float | None = None
    adjoint: str = "replay"

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `solve`."""
        options = {"method": self.method, "adjoint": self.adjoint, "on_failure": "return"}
        if self.steps is not None:
            return options | {"steps": self.steps}
        return options | {"rtol": self.rtol, "atol": self.atol, "dt0": self.dt0}
