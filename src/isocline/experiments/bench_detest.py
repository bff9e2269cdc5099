"""DETEST: evaluations that our methods and SciPy's take to the same error, on its 25 problems.

A solve gives the state at t = 1, 2, ..., 20 in float64; the error is the root mean square of it
there, over that of the solution. Relative and absolute tolerance are alike.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from isocline.ode import METHODS, solve

from .bench.detest_problems import END, PROBLEMS, Detest
from .bench.figures import work_precision
from .results import markdown_table, versions, write_results

TIMES = np.arange(1.0, END + 1)
OURS = ("tsit5", "dopri5", "vern7", "dopri8")
SCIPY = ("RK45", "DOP853")
# Which of ours stands against which of SciPy's: the same orders.
AGAINST = {"tsit5": "RK45", "dopri5": "RK45", "vern7": "DOP853", "dopri8": "DOP853"}
TOLERANCES = tuple(10.0 ** -np.arange(2, 11))
TARGET, ASKED = 1e-6, 1e-6
SHOWN = ("A4", "B2", "B5", "C5", "D5", "E2")
NOTE = (
    f"NFE: evaluations for an error of {TARGET:g}, between the tolerances by interpolation of the "
    "logarithms. Error at 1e-6: what is reached when rtol = atol = 1e-6 are asked for."
)

# `run(tolerance) -> (states at TIMES, evaluations)`; NaN where it fails.
Run = Callable[[float], tuple[np.ndarray, int]]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: int | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    problems: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure all problems, or those named; `quick` takes one of each class."""
    names = problems or [name for name in PROBLEMS if not quick or name.endswith("2")]
    points: dict[str, list[dict[str, Any]]] = {}
    with jax.enable_x64(True):
        for number, name in enumerate(names, start=1):
            if progress is not None:
                progress({"stage": "DETEST", "epoch": number, "epochs": len(names)})
            points[name] = _points(PROBLEMS[name])
            jax.clear_caches()
    return _written(out, points)


def _written(out: Path, points: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The results as tables and figures."""
    names = list(points)
    solvers = list(dict.fromkeys(point["solver"] for point in points[names[0]]))
    summary = _summary(points, solvers)
    rows = [_row(name, points[name], solvers) for name in names]
    titles = ["problem", *(f"NFE {s}" for s in solvers), *(f"error at 1e-6, {s}" for s in solvers)]
    summary_table = markdown_table(tuple(summary[0]), [_words(row) for row in summary])
    results = {
        "note": NOTE,
        "versions": versions("scipy"),
        "summary": summary,
        "points": points,
    }
    parts = (f"{(__doc__ or '').strip()}\n\n{NOTE}", summary_table, markdown_table(titles, rows))
    write_results(out, results, "\n\n".join(parts))
    shown = [name for name in SHOWN if name in points] or names
    panels = [(name, "nfe", points[name]) for name in shown]
    work_precision(out, "work-precision", panels, {"nfe": "field evaluations"}, min(3, len(shown)))
    return {"summary": summary, "out": str(out)}


def _points(problem: Detest) -> list[dict[str, Any]]:
    """Error and evaluations of every solver at every tolerance."""
    y0 = jnp.asarray(problem.y0, "float64")
    slope = jax.jit(problem.field)

    def field(t: float, y: np.ndarray) -> np.ndarray:
        return np.asarray(slope(t, y))

    truth, _ = _scipy("DOP853", field, np.asarray(y0), 1e-13)
    runs: dict[str, Run] = {
        f"isocline {method}": _ours(method, problem, y0) for method in OURS if method in METHODS
    }
    runs |= {
        f"scipy {method}": lambda tolerance, method=method: _scipy(
            method, field, np.asarray(y0), tolerance
        )
        for method in SCIPY
    }
    points = []
    for solver, solved in runs.items():
        for tolerance in TOLERANCES:
            states, nfe = solved(tolerance)
            error = float(np.sqrt(np.mean((states - truth) ** 2) / np.mean(truth**2)))
            points.append({"solver": solver, "tolerance": tolerance, "error": error, "nfe": nfe})
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
        return solution.ys, solution.stats.nfe

    def run(tolerance: float) -> tuple[np.ndarray, int]:
        states, nfe = solved(y0, jnp.asarray(tolerance, "float64"))
        return np.asarray(states), int(nfe)

    return run


def _scipy(
    method: str, field: Callable[..., Any], y0: np.ndarray, tolerance: float
) -> tuple[np.ndarray, int]:
    from scipy.integrate import solve_ivp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solved = solve_ivp(
            field, (0.0, END), y0, method=method, rtol=tolerance, atol=tolerance, t_eval=TIMES
        )
    whole = solved.success and solved.y.shape[1] == len(TIMES)
    return (solved.y.T if whole else np.full((len(TIMES), len(y0)), np.nan)), int(solved.nfev)


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


def _summary(points: dict[str, list[dict[str, Any]]], solvers: list[str]) -> list[dict[str, Any]]:
    """One row for each of our methods: evaluations over those of SciPy's, and who fails."""
    rows = []
    for method, peer in AGAINST.items():
        solver = f"isocline {method}"
        if solver not in solvers:
            continue
        ratios = {}
        for name, found in points.items():
            ours = evaluations_at(_of(found, solver), TARGET)
            theirs = evaluations_at(_of(found, f"scipy {peer}"), TARGET)
            if ours is not None and theirs is not None:
                ratios[name] = ours / theirs
        worst = max(ratios, key=ratios.__getitem__)
        rows.append(
            {
                "method": method,
                "against": peer,
                "reached": f"{len(ratios)} of {len(points)}",
                "NFE ratio (geometric mean)": float(np.exp(np.mean(np.log(list(ratios.values()))))),
                "worst ratio": ratios[worst],
                "on": worst,
                "largest error at 1e-6": max(_asked(_of(f, solver)) for f in points.values()),
                "SciPy's": max(_asked(_of(f, f"scipy {peer}")) for f in points.values()),
            }
        )
    return rows
