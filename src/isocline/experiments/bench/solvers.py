"""The contestants of `isocline bench solvers`, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from . import in_jax
from .contestant import Contestant, InJax
from .problems import Problem


@dataclass(frozen=True)
class Solver:
    """A contestant in one setting.

    Attributes:
        library: who it belongs to; a table shows the best row of each library.
        setting: method, adjoint and the like, for people.
        build: makes its solve (see `contestant.End` for JAX).
        options: passed to `build`.
        package: what must be installed.
        stiff: whether it is meant for stiff problems; others are left out there.
        quick: takes part in the quick version.
        static_tolerance: the library wants the tolerance before it traces.
    """

    library: str
    setting: str
    build: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    package: str | None = None
    stiff: bool = False
    quick: bool = False
    static_tolerance: bool = False

    @property
    def name(self) -> str:
        """Library and setting."""
        return f"{self.library} {self.setting}"

    def installed(self) -> bool:
        """Whether its library is there."""
        return self.package is None or find_spec(self.package) is not None

    def suits(self, problem: Problem) -> bool:
        """Whether the problem is of the kind it is for."""
        return self.stiff == problem.stiff

    def enter(self, problem: Problem, dtype: str) -> Contestant:
        """The solver, ready for a problem."""
        return InJax(problem, dtype, self.build, self.options, self.static_tolerance)


def _isocline(method: str, **options: Any) -> Solver:
    quick = options.pop("quick", False)
    fit = ", fitted max_steps" if options.get("fit") else ""
    adjoint = options.get("adjoint", "auto")
    setting = f"{method}{fit}" if adjoint == "auto" else f"{method}, {adjoint}{fit}"
    return Solver("isocline", setting, in_jax.isocline, {"method": method, **options}, quick=quick)


def _diffrax(solver: str, adjoint: str, fit: bool, **flags: Any) -> Solver:
    options = {"solver": solver, "adjoint": f"{adjoint}Adjoint", "fit": fit}
    setting = f"{solver}, {adjoint}" + (", fitted max_steps" if fit else "")
    return Solver("diffrax", setting, in_jax.diffrax, options, "diffrax", **flags)


SOLVERS = (
    _isocline("tsit5", quick=True),
    _isocline("dopri5", quick=True),
    _isocline("dopri8"),
    _isocline("tsit5", fit=True),
    _diffrax("Tsit5", "RecursiveCheckpoint", False, quick=True),
    _diffrax("Tsit5", "RecursiveCheckpoint", True, quick=True),
    _diffrax("Dopri5", "RecursiveCheckpoint", True),
    _diffrax("Dopri8", "RecursiveCheckpoint", True),
    _diffrax("Tsit5", "Direct", True),
    Solver(
        "jax odeint",
        "dopri5, continuous adjoint",
        in_jax.jax_odeint,
        static_tolerance=True,
    ),
)
