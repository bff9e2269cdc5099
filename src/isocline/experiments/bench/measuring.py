"""One case: every solver that suits it, at the same error, timed in turns, with the floor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import jax

from .cases import Case
from .contestant import Contestant
from .floor import Floor
from .matching import match_error, reference, relative_error
from .problems import Problem
from .solvers import Solver
from .timing import interleaved

Say = Callable[[str], None]
Row = dict[str, Any]
FLOOR = "floor"


@dataclass(frozen=True)
class Effort:
    """How much to spend: measurements of each call, and first calls of which the least counts."""

    repeats: int = 9
    first_calls: int = 3


def measure(name: str, case: Case, solvers: Sequence[Solver], effort: Effort, say: Say) -> Row:
    """The rows of a case, the floor among them, and notes on who is missing."""
    with jax.enable_x64(True) if case.dtype == "float64" else nullcontext():
        problem = case.problem()
        truth = reference(problem, case.dtype)
        rows: dict[str, Row] = {}
        ready: dict[str, Contestant] = {}
        notes = []
        for solver in solvers:
            if not solver.suits(problem):
                continue
            say(f"{name}: {solver.name}")
            try:
                row, contestant = _prepare(solver, problem, case, truth, effort)
            except Exception as error:  # a peer that fails is a result, and the others go on
                notes.append(f"{solver.name}: {type(error).__name__}: {error}".split("\n")[0][:300])
                continue
            rows[solver.name] = row
            if contestant is None:
                notes.append(f"{solver.name}: does not reach {case.target:g} on {name}")
            else:
                ready[solver.name] = contestant
        _time(problem, case, (rows, ready), effort)
    return {
        "case": name,
        "summary": case.summary,
        "target": case.target,
        "dtype": case.dtype,
        "rows": list(rows.values()),
        "notes": notes,
    }


def _prepare(
    solver: Solver, problem: Problem, case: Case, truth: Any, effort: Effort
) -> tuple[Row, Contestant | None]:
    contestant = solver.enter(problem, case.dtype)

    def error_at(tolerance: float) -> float:
        return relative_error(problem, contestant.end_state(tolerance), truth)

    row: Row = {"library": solver.library, "setting": solver.setting}
    match = match_error(error_at, case.target, case.tightest)
    if match is None:
        return row, None
    contestant.settle(match.tolerance, effort.first_calls)
    error = error_at(match.tolerance)
    return row | match._asdict() | {"error": error} | contestant.facts, contestant


def _time(problem: Problem, case: Case, entered: tuple[Any, Any], effort: Effort) -> None:
    """Write the seconds of everybody and of the floor into the rows."""
    rows, ready = entered
    calls: dict[Any, Callable[[], Any]] = {}
    for name, contestant in ready.items():
        calls |= {(name, "forward"): contestant.forward, (name, "gradient"): contestant.gradient}
    count = _floor_count(list(rows.values()))
    if count:
        floor = Floor(problem, count, case.dtype)
        rows[FLOOR] = {"library": FLOOR, "setting": f"{count} evaluations", "needed": count}
        calls |= {(FLOOR, "forward"): floor.forward, (FLOOR, "gradient"): floor.gradient}
    # Forward and gradient apart: a slow gradient of one would blow the caches of a fast forward.
    for what in ("forward", "gradient"):
        turns = {key: call for key, call in calls.items() if key[1] == what}
        for (name, _), timing in interleaved(turns, effort.repeats).items():
            rows[name][what] = timing._asdict()


def _floor_count(rows: list[Row]) -> int | None:
    """The fewest evaluations that accepted steps of ours needed (mean over the trajectories)."""
    needed = [row["needed"] for row in rows if row["library"] == "isocline" and row.get("needed")]
    return round(min(needed)) if needed else None
