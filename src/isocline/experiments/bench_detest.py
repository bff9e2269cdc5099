"""DETEST: evaluations that our methods and SciPy's take to the same error, on its 25 problems.

A solve gives the state at t = 1, 2, ..., 20 in float64; the error is the root mean square of it
there, over that of the solution. Relative and absolute tolerance are alike. Every adaptive method
of the explicit ones is tried, each against the one of SciPy's that is next to it in order.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isocline.ode import Status, solve

from .bench.detest_problems import END, PROBLEMS, Detest
from .bench.figures import work_precision
from .results import markdown_table, versions, write_results

TIMES = np.arange(1.0, END + 1)


class Match(NamedTuple):
    """Which of SciPy's methods one of ours stands against, and the error to get below."""

    against: str
    target: float

    @property
    def tolerances(self) -> tuple[float, ...]:
        """What is asked for: from 1e-2 down to the target's ten-thousandth."""
        return tuple(10.0**-digits for digits in range(2, 5 - round(np.log10(self.target))))


# Low orders are not for small errors; SciPy has none of order two.
MATCHES = {
    **dict.fromkeys(("midpoint", "heun", "ralston"), Match("RK23", 1e-3)),
    **dict.fromkeys(("bosh3", "ssprk3", "rdpk3sp35"), Match("RK23", 1e-4)),
    **dict.fromkeys(("tsit5", "bosh5", "dopri5", "cash_karp", "fehlberg"), Match("RK45", 1e-6)),
    **dict.fromkeys(("vern7", "dopri8"), Match("DOP853", 1e-6)),
}
# The methods in the table and figures of each problem.
CHOSEN = ("tsit5", "bosh5", "dopri5", "vern7", "dopri8", "RK45", "DOP853")
TARGET, ASKED = 1e-6, 1e-6
SHOWN = ("A4", "B2", "B5", "C5", "D5", "E2")
NOTE = (
    "NFE: evaluations for the error that is named (in the table of problems "
    f"{TARGET:g}), between the tolerances by interpolation of the logarithms. "
    "Error at 1e-6: what is reached when rtol = atol = 1e-6 are asked for."
)

# `run(tolerance) -> (states at TIMES, evaluations, why it failed)`; NaN where it fails.
Run = Callable[[float], tuple[np.ndarray, int, str]]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    problems: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(MATCHES),
) -> dict[str, Any]:
    """Measure all problems, or those named, by these of our methods; `quick` takes one a class."""
    names = problems or [name for name in PROBLEMS if not quick or name.endswith("2")]
    points: dict[str, list[dict[str, Any]]] = {}
    with jax.enable_x64(True):
        for number, name in enumerate(names, start=1):
            if progress is not None:
                progress({"stage": "DETEST", "epoch": number, "epochs": len(names)})
            points[name] = _points(PROBLEMS[name], methods)
            jax.clear_caches()
    command = "isocline bench detest" + " --quick" * quick
    return _written(out, points, command)


def _written(out: Path, points: dict[str, list[dict[str, Any]]], command: str) -> dict[str, Any]:
    """The results as tables and figures."""
    solvers = list(dict.fromkeys(point["solver"] for found in points.values() for point in found))
    summary = _summary(points, solvers)
    chosen = [solver for solver in solvers if solver.split()[1] in CHOSEN] or solvers
    results = {
        "command": command,
        "note": NOTE,
        "versions": versions("scipy"),
        "summary": summary,
        "points": points,
    }
    parts = (
        f"{(__doc__ or '').strip()}\n\n{NOTE}",
        markdown_table(tuple(summary[0]), [_words(row) for row in summary]),
        _problem_table(points, chosen),
    )
    write_results(out, results, "\n\n".join(parts))
    _figure(out, points, chosen)
    return {"summary": summary, "out": str(out)}


def _problem_table(points: dict[str, list[dict[str, Any]]], solvers: list[str]) -> str:
    """One row for each problem, with evaluations and errors of some solvers."""
    titles = ["problem", *(f"NFE {s}" for s in solvers), *(f"error at 1e-6, {s}" for s in solvers)]
    return markdown_table(titles, [_row(name, found, solvers) for name, found in points.items()])


def _figure(out: Path, points: dict[str, list[dict[str, Any]]], solvers: list[str]) -> None:
    """Error over evaluations of these solvers, on some of the problems."""
    shown = [name for name in SHOWN if name in points] or list(points)
    panels = [
        (name, "nfe", [point for solver in solvers for point in _of(points[name], solver)])
        for name in shown
    ]
    work_precision(out, "work-precision", panels, {"nfe": "field evaluations"}, min(3, len(shown)))


def _points(problem: Detest, methods: Sequence[str]) -> list[dict[str, Any]]:
    """Error and evaluations of every solver at every tolerance."""
    y0 = jnp.asarray(problem.y0, "float64")
    slope = jax.jit(problem.field)

    def field(t: float, y: np.ndarray) -> np.ndarray:
        return np.asarray(slope(t, y))

    truth, _, _ = _scipy("DOP853", field, np.asarray(y0), 1e-13)
    runs: dict[str, tuple[Run, set[float]]] = {
        f"isocline {method}": (_ours(method, problem, y0), set(MATCHES[method].tolerances))
        for method in methods
    }
    for match in map(MATCHES.__getitem__, methods):
        solver, wanted = f"scipy {match.against}", set(match.tolerances)
        wanted |= runs[solver][1] if solver in runs else set()
        run = partial(_scipy, match.against, field, np.asarray(y0))
        runs[solver] = run, wanted
    points = []
    for solver, (run, tolerances) in runs.items():
        for tolerance in sorted(tolerances, reverse=True):
            states, nfe, failure = run(tolerance)
            error = float(np.sqrt(np.mean((states - truth) ** 2) / np.mean(truth**2)))
            points.append(
                {
                    "solver": solver,
                    "tolerance": tolerance,
                    "error": error,
                    "nfe": nfe,
                    "failure": failure,
                }
            )
    return points


def _ours(method: str, problem: Detest, y0: jax.Array) -> Run:
    @jax.jit
    def solved(y0: Any, tolerance: Any) -> Any:
        solution = solve(
            problem.field,
            y0,
            TIMES,
            t0=0.0,
            method=method,
            rtol=tolerance,
            atol=tolerance,
            max_steps=100_000,
            on_failure="return",
        )
        return solution.ys, solution.stats.nfe, solution.status

    def run(tolerance: float) -> tuple[np.ndarray, int, str]:
        states, nfe, status = solved(y0, jnp.asarray(tolerance, "float64"))
        status = Status(int(status))
        return np.asarray(states), int(nfe), "" if status == Status.SUCCESS else status.name

    return run


def _scipy(
    method: str, field: Callable[..., Any], y0: np.ndarray, tolerance: float
) -> tuple[np.ndarray, int, str]:
    from scipy.integrate import solve_ivp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = solve_ivp(
            field, (0.0, END), y0, method=method, rtol=tolerance, atol=tolerance, t_eval=TIMES
        )
    whole = solved.success and solved.y.shape[1] == len(TIMES)
    states = solved.y.T if whole else np.full((len(TIMES), len(y0)), np.nan)
    return states, int(solved.nfev), "" if whole else solved.message


def evaluations_at(points: list[dict[str, Any]], target: float) -> float | None:
    """The evaluations for an error, from the first pair of points around it; None if there is none.

    A problem that is solved better than that at the loosest tolerance costs what it costs there.
    """
    points = [point for point in points if np.isfinite(point["error"])]
    if points and points[0]["error"] <= target:
        return float(points[0]["nfe"])
    for before, after in itertools.pairwise(points):
        if after["error"] <= target:
            share = np.log(before["error"] / target) / np.log(before["error"] / after["error"])
            low, high = np.log(before["nfe"]), np.log(after["nfe"])
            return float(np.exp(low + share * (high - low)))
    return None


def _of(points: list[dict[str, Any]], solver: str) -> list[dict[str, Any]]:
    return [point for point in points if point["solver"] == solver]


def _row(name: str, points: list[dict[str, Any]], solvers: list[str]) -> tuple[Any, ...]:
    nfe = [evaluations_at(_of(points, solver), TARGET) for solver in solvers]
    errors = [_asked(_of(points, solver)) for solver in solvers]
    return (
        name,
        *(None if value is None else f"{value:.0f}" for value in nfe),
        *(f"{error:.1e}" for error in errors),
    )


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{value:.3g}" if isinstance(value, float) else value for value in row.values())


def _asked(points: list[dict[str, Any]]) -> float:
    return next(p["error"] for p in points if np.isclose(p["tolerance"], ASKED))


def _geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values)))) if values else float("nan")


def _why(points: list[dict[str, Any]]) -> str:
    """Why a solver does not get below an error: what stopped it, or how near it comes."""
    failures = {point["failure"] for point in points} - {""}
    errors = [point["error"] for point in points if np.isfinite(point["error"])]
    nearest = f"error {min(errors):.1e} at best" if errors else "no answer"
    return ", ".join([nearest, *sorted(failures)])


def _summary(points: dict[str, list[dict[str, Any]]], solvers: list[str]) -> list[dict[str, Any]]:
    """One row for each of our methods: evaluations over those of SciPy's, and who fails."""
    rows = []
    for method, (peer, target) in MATCHES.items():
        solver = f"isocline {method}"
        if solver not in solvers:
            continue
        ratios, missed = {}, {}
        for name, found in points.items():
            ours = evaluations_at(_of(found, solver), target)
            theirs = evaluations_at(_of(found, f"scipy {peer}"), target)
            if ours is None:
                missed[name] = _why(_of(found, solver))
            elif theirs is not None:
                ratios[name] = ours / theirs
        worst = max(ratios, key=ratios.__getitem__) if ratios else ""
        rows.append(
            {
                "method": method,
                "against": peer,
                "error": f"{target:g}",
                "reached": f"{len(points) - len(missed)} of {len(points)}",
                "NFE ratio (geometric mean)": _geometric_mean(list(ratios.values())),
                "worst ratio": ratios.get(worst, float("nan")),
                "on": worst,
                "largest error at 1e-6": max(_asked(_of(f, solver)) for f in points.values()),
                "SciPy's": max(_asked(_of(f, f"scipy {peer}")) for f in points.values()),
                "not reached": "; ".join(f"{name}: {why}" for name, why in missed.items()),
            }
        )
    return rows
