"""The cases of `isocline bench solvers`, one row each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from . import problems
from .problems import Problem


@dataclass(frozen=True)
class Case:
    """A problem, and how it is measured.

    Attributes:
        summary: one line for people.
        problem: makes it.
        target: the error that all must reach (relative, see `matching.relative_error`).
        dtype: of state and parameters.
        tightest: the last tolerance that is tried.
        quick: part of the quick version.
    """

    summary: str
    problem: Callable[[], Problem]
    target: float = 1e-5
    dtype: str = "float32"
    tightest: float = 1e-8
    quick: bool = False


_mlp = functools.partial(functools.partial, problems.mlp)

CASES = {
    "mlp-1": Case("MLP 2-50-50-2, batch 1", _mlp((2, 50, 50, 2), 1), quick=True),
    "mlp-32": Case("MLP 2-64-64-2, batch 32", _mlp((2, 64, 64, 2), 32), quick=True),
    "mlp-1024": Case("MLP 2-64-64-2, batch 1024", _mlp((2, 64, 64, 2), 1024), quick=True),
}
