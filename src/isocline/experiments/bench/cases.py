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
        gradient_steps: fixed steps of the reference gradient, or None: no reference (that of a
            stiff problem takes none).
        curve: part of the work-precision figure.
        quick: part of the quick version.
        heavy: a solve takes seconds: few solvers (`Solver.light`), a coarse search, few repeats,
            and fixed steps in the same dtype for a reference.
    """

    summary: str
    problem: Callable[[], Problem]
    target: float = 1e-5
    dtype: str = "float32"
    tightest: float = 1e-8
    gradient_steps: int | None = 400
    curve: bool = False
    quick: bool = False
    heavy: bool = False


def _mlp(width: int, batch: int) -> Callable[[], Problem]:
    return functools.partial(problems.mlp, (2, width, width, 2), batch)


def _lanes(make: Callable[..., Problem], summary: str, gradient_steps: int) -> Case:
    return Case(summary, functools.partial(make, 1000), 1e-6, "float64", 1e-12, gradient_steps)


def _stiff(make: Callable[..., Problem], summary: str) -> Case:
    return Case(summary, make, 1e-6, "float64", 1e-12)


CASES = {
    "mlp-1": Case("MLP 2-50-50-2, batch 1", _mlp(50, 1), curve=True, quick=True),
    "mlp-32": Case("MLP 2-64-64-2, batch 32", _mlp(64, 32), curve=True, quick=True),
    "mlp-1024": Case("MLP 2-64-64-2, batch 1024", _mlp(64, 1024), curve=True, quick=True),
    "lorenz": _lanes(problems.lorenz, "1,000 Lorenz systems, each its own parameters", 2000),
    "skewed": _lanes(problems.pendulums, "1,000 pendulums, one of them 50 times as fast", 8000),
    "convolutional": Case(
        "ODE block: two 3x3 convolutions with GroupNorm, 64 channels, 7x7, batch 128",
        problems.convolutional,
        target=1e-3,
        # The kinks of ReLU let it converge slowly: from 40 to 80 steps it changes by 0.2 % yet.
        gradient_steps=None,
        heavy=True,
    ),
    "van-der-pol": _stiff(problems.van_der_pol, "Van der Pol, mu = 1000"),
    "robertson": _stiff(problems.robertson, "Robertson's kinetics to t = 10,000"),
}
