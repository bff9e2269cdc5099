"""One case: every solver that suits it, at the same error, timed in turns, with the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from .cases import Case
from .contestant import WHATS, Contestant
from .floor import Floor
from .matching import (
    fixed_reference,
    gradient_error,
    match_error,
    reference,
    reference_gradient,
    relative_error,
    stiff_reference_gradient,
)
from .problems import Problem
from .solvers import Solver
from .timing import interleaved

Say = Callable[[str], None]
Row = dict[str, Any]
FLOOR = "floor"
HEAVY_STEPS = 100  # of the reference of heavy cases
PATIENCE = 60.0  # seconds of one solve; who takes longer is left out
CURVE = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@dataclass(frozen=True)
class Effort:
    """How much to spend: measurements of a call, first calls (the least counts), and curves."""

    repeats: int = 9
    first_calls: int = 2
    curves: bool = True


@dataclass(frozen=True)
class Truth:
    """What a case is measured against: the final state, and the gradient where it is known."""

    problem: Problem
    state: np.ndarray
    gradient: np.ndarray | None

    @classmethod
    def of(cls, case: Case) -> Truth:
        """The references of a case."""
        problem = case.problem()
        gradient = None
        if problem.stiff:
            gradient = stiff_reference_gradient(problem, case.dtype)
        elif case.gradient_steps is not None:
            gradient = reference_gradient(problem, case.dtype, case.gradient_steps)
        if case.heavy:
            return cls(problem, fixed_reference(problem, case.dtype, HEAVY_STEPS), gradient)
        return cls(problem, reference(problem, case.dtype), gradient)


def _prepare_all(
    solvers: Sequence[Solver], case: Case, truth: Truth, effort: Effort, say: Say
) -> tuple[dict[str, Row], dict[str, Contestant], list[str]]:
    """The rows and contestants of the solvers that reach the target, and a note on each other."""
    rows: dict[str, Row] = {}
    ready: dict[str, Contestant] = {}
    notes = []
    for solver in solvers:
        say(solver.name)
        try:
            row, contestant = _prepare(solver, case, truth, effort)
        except Exception as error:  # a peer that fails is a result, and the others go on
            notes.append(f"{solver.name}: {type(error).__name__}: {_briefly(error)}")
            continue
        if contestant is None:
            notes.append(f"{solver.name} does not reach an error of {case.target:g}.")
        else:
            rows[solver.name], ready[solver.name] = row, contestant
    return rows, ready, notes


def measure(name: str, case: Case, solvers: Sequence[Solver], effort: Effort, say: Say) -> Row:
    """The rows of a case, the floor among them, and notes on who is missing."""
    if case.heavy:
        solvers = [solver for solver in solvers if solver.light]
        effort = replace(effort, repeats=min(effort.repeats, 7), first_calls=1)
    with jax.enable_x64(True) if case.dtype == "float64" else nullcontext():
        say(f"{name}: reference")
        truth = Truth.of(case)
        solvers = [solver for solver in solvers if solver.suits(truth.problem)]
        rows, ready, notes = _prepare_all(
            solvers, case, truth, effort, lambda s: say(f"{name}: {s}")
        )
        if not any(row["library"] == "isocline" for row in rows.values()):
            notes.append("isocline: not yet.")
        say(f"{name}: timing")
        _time(truth.problem, case, (rows, ready), effort)
        curves = []
        if case.curve and effort.curves:
            say(f"{name}: work and precision")
            curves = _curves(truth, ready)
    described = {key: getattr(case, key) for key in ("summary", "target", "dtype")}
    return {
        "case": name,
        **described,
        "rows": list(rows.values()),
        "notes": notes,
        "curves": curves,
    }


def _briefly(error: Exception) -> str:
    """What an error says, in a line; the last one of a traceback says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    inner = [line for line in lines if "Error: " in line]
    return (inner or lines[:1])[-1][:300]


def _prepare(
    solver: Solver, case: Case, truth: Truth, effort: Effort
) -> tuple[Row, Contestant | None]:
    contestant = solver.enter(truth.problem, case.dtype)

    def error_at(tolerance: float) -> float:
        started = time.perf_counter()
        try:
            state = contestant.end_state(tolerance)
        except jax.errors.JaxRuntimeError:  # a solver's own check of its inner workings
            return float("inf")
        if (seconds := time.perf_counter() - started) > PATIENCE:
            raise TimeoutError(f"a solve takes {seconds:.0f} s at a tolerance of {tolerance:g}")
        return relative_error(truth.problem, state, truth.state)

    row: Row = {"library": solver.library, "setting": solver.setting}
    fineness = (2, 2) if case.heavy else (2, 4)
    match = match_error(error_at, case.target, case.tightest, *fineness)
    if match is None:
        return row, None
    contestant.settle(match.tolerance, effort.first_calls)
    error, gradient = error_at(match.tolerance), contestant.gradient()
    known = truth.gradient
    row["gradient_error"] = None if known is None else gradient_error(gradient, known)
    return row | match._asdict() | {"error": error} | contestant.facts, contestant


def _time(problem: Problem, case: Case, entered: tuple[Any, Any], effort: Effort) -> None:
    """Write the seconds of everybody and of the floor into the rows."""
    rows, ready = entered
    calls: dict[str, Any] = dict(ready)
    count = None if problem.stiff else _floor_count(list(rows.values()))
    if count:
        floor = calls[FLOOR] = Floor(problem, count, case.dtype, effort.first_calls)
        rows[FLOOR] = {
            "library": FLOOR,
            "setting": f"{count} evaluations",
            "needed": count,
            "first_call": floor.first_call,
        }
    # Forward and gradient apart: a slow gradient of one would blow the caches of a fast forward.
    for what in WHATS:
        turns = {name: getattr(contestant, what) for name, contestant in calls.items()}
        for name, timing in interleaved(turns, effort.repeats).items():
            rows[name][what] = timing._asdict()


def _curves(truth: Truth, ready: dict[str, Contestant]) -> list[Row]:
    """Error, evaluations and seconds of a forward solve over a range of tolerances."""
    points: list[Row] = []
    for tolerance in CURVE:
        errors = {}
        for name, contestant in ready.items():
            errors[name] = relative_error(
                truth.problem, contestant.end_state(tolerance), truth.state
            )
            contestant.turn_to(tolerance)
        found = {name: ready[name] for name, error in errors.items() if np.isfinite(error)}
        calls = {name: contestant.forward for name, contestant in found.items()}
        for name, timing in interleaved(calls, repeats=3, shortest=0.01).items():
            nfe = found[name].facts.get("nfe")
            points.append({"solver": name, "tolerance": tolerance, "error": errors[name],
                           "nfe": nfe, "seconds": timing.median})  # fmt: skip
    return points


def _floor_count(rows: list[Row]) -> int | None:
    """The fewest evaluations that accepted steps of ours needed (mean over the trajectories)."""
    needed = [row["needed"] for row in rows if row["library"] == "isocline" and row.get("needed")]
    return round(min(needed)) if needed else None
