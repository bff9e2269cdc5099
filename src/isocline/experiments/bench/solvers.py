"""The contestants of `isocline bench solvers`, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from . import in_gradsolve, in_jax, in_torch
from .contestant import Contestant, InJax
from .in_gradsolve import InGradsolve
from .in_torch import InTorch
from .problems import Problem

# Which problems a solver is for, by name.
SUITS: dict[str, Callable[[Problem], bool]] = {
    "explicit": lambda problem: not problem.stiff,
    "stiff": lambda problem: problem.stiff,
    # A continuous adjoint integrates the state backwards: where it contracts, that never ends.
    "not ensembles": lambda problem: not problem.stiff and not problem.lanes,
    "ensembles": lambda problem: problem.lanes,
}


@dataclass(frozen=True)
class Solver:
    """A contestant in one setting.

    Attributes:
        library: who it belongs to; a table shows the best row of each library.
        setting: method, adjoint and the like, for people.
        enter_as: the kind of contestant.
        build: makes its solve: see the kind of contestant.
        options: of the contestant and of `build`.
        package: what must be installed.
        kind: which problems it is for, a key of `SUITS`.
        lead: the usual choice of its library.
    """

    library: str
    setting: str
    enter_as: Callable[..., Contestant]
    build: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    package: str | None = None
    kind: str = "explicit"
    lead: bool = False

    @property
    def name(self) -> str:
        """Library and setting."""
        return f"{self.library} {self.setting}"

    def installed(self) -> bool:
        """Whether its library is there."""
        return self.package is None or find_spec(self.package) is not None

    @property
    def quick(self) -> bool:
        """Whether it takes part in the quick version: PyTorch would take most of its time."""
        return self.lead and self.enter_as is InJax

    @property
    def light(self) -> bool:
        """Whether it may take part in heavy cases: room for steps that are not taken fills RAM."""
        return self.lead and self.options.get("fit") is not False

    def suits(self, problem: Problem) -> bool:
        """Whether it is for such a problem."""
        return SUITS[self.kind](problem)

    def enter(self, problem: Problem, dtype: str) -> Contestant:
        """The solver, ready for a problem."""
        return self.enter_as(problem, dtype, self.build, self.options)


def _isocline(method: str, lead: bool = False, kind: str = "explicit", **options: Any) -> Solver:
    words = [method, options.get("adjoint"), "fitted max_steps" if options.get("fit") else None]
    setting = ", ".join(filter(None, words))
    options["forward_mode"] = options.get("adjoint") == "forward"
    options = {"method": method, "fit": False, **options}
    return Solver("isocline", setting, InJax, in_jax.isocline, options, kind=kind, lead=lead)


def _diffrax(
    solver: str,
    adjoint: str,
    *,
    fit: bool = False,
    lead: bool = False,
    kind: str = "explicit",
    newton: bool = False,
) -> Solver:
    options = {"solver": solver, "adjoint": adjoint, "fit": fit, "newton": newton}
    options["forward_mode"] = adjoint == "ForwardMode"
    words = [solver, adjoint.removesuffix("Adjoint"), "fitted max_steps" if fit else None]
    words += ["Newton"] if newton else []
    setting = ", ".join(filter(None, words))
    return Solver("diffrax", setting, InJax, in_jax.diffrax, options, "diffrax", kind, lead)


def _torchdiffeq(setting: str, kind: str, **options: Any) -> Solver:
    build = in_torch.torchdiffeq
    return Solver("torchdiffeq", setting, InTorch, build, options, "torchdiffeq", kind, lead=True)


def _gradsolve(setting: str, build: Callable[..., Any], kind: str, reuse: bool = False) -> Solver:
    # What replays an old mesh does less than the others: it stands beside them by itself.
    library = "gradsolve, mesh reused" if reuse else "gradsolve"
    options = {"reuse": reuse}
    return Solver(library, setting, InGradsolve, build, options, "gradsolve", kind, lead=True)


# Methods of ours for stiff problems; what is Diffrax's own stands in its rows.
STIFF_METHODS = ("rodas5p", "rodas4", "rosenbrock23", "ros34pw2", "auto")

SOLVERS = (
    _isocline("tsit5", lead=True),
    _isocline("tsit5", fit=True, lead=True),
    _isocline("bosh5", lead=True),
    _isocline("bosh5", fit=True, lead=True),
    _isocline("dopri5"),
    _isocline("dopri8"),
    _isocline("tsit5", adjoint="forward", kind="ensembles"),
    *(_isocline(method, kind="stiff", lead=True) for method in STIFF_METHODS),
    _diffrax("Tsit5", "RecursiveCheckpointAdjoint"),
    _diffrax("Tsit5", "RecursiveCheckpointAdjoint", fit=True, lead=True),
    _diffrax("Tsit5", "DirectAdjoint", fit=True),
    _diffrax("Dopri5", "RecursiveCheckpointAdjoint", fit=True),
    _diffrax("Dopri8", "RecursiveCheckpointAdjoint", fit=True),
    _diffrax("Tsit5", "ForwardMode", kind="ensembles"),
    _diffrax("Kvaerno5", "RecursiveCheckpointAdjoint", fit=True, kind="stiff", lead=True),
    _diffrax(
        "Kvaerno5", "RecursiveCheckpointAdjoint", fit=True, kind="stiff", lead=True, newton=True
    ),
    _diffrax("Kvaerno5", "ForwardMode", kind="stiff", newton=True),
    _diffrax("Kvaerno3", "RecursiveCheckpointAdjoint", fit=True, kind="stiff"),
    Solver(
        "jax odeint",
        "dopri5, continuous adjoint",
        InJax,
        in_jax.jax_odeint,
        {"static_tolerance": True},
        kind="not ensembles",
        lead=True,
    ),
    _torchdiffeq("dopri5", "explicit", method="dopri5"),
    _torchdiffeq("dopri5, continuous adjoint", "not ensembles", method="dopri5", adjoint=True),
    Solver(
        "torchode",
        "Tsit5, AutoDiff",
        InTorch,
        in_torch.torchode,
        {"method": "Tsit5"},
        "torchode",
        lead=True,
    ),
    _gradsolve("Tsit5", in_gradsolve.explicit, "ensembles"),
    _gradsolve("Tsit5", in_gradsolve.explicit, "ensembles", reuse=True),
    _gradsolve("Rodas5P", in_gradsolve.stiff, "stiff"),
)
