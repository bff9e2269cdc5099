"""Forward and gradient of one solve: us and the peers, side by side, at the same achieved error.

The cases are in `bench.cases`, the contestants in `bench.solvers`; `table.md` says how it was
measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax

from isocline.errors import InputError

from .bench import memory
from .bench.cases import CASES
from .bench.figures import work_precision
from .bench.measuring import Effort, measure
from .bench.reporting import brief, summary_rows, tables
from .bench.solvers import SOLVERS, Solver
from .results import machine, versions, write_results

PACKAGES = ("jaxlib", "equinox", "diffrax", "torch", "torchdiffeq", "torchode", "gradsolve")
QUICK = Effort(repeats=5, first_calls=1, curves=False)
LONG = "long"  # the case that measures memory
WHERE = ("command", "machine", "versions")  # of each case its own: they may be of several runs
AXES = {"seconds": "seconds of a forward solve", "nfe": "field evaluations"}
NOTE = (
    "Every solver runs at the loosest tolerance that reaches the error target against a float64 "
    "reference by SciPy. Seconds are medians of interleaved measurements, with quartiles, each of "
    "at least 20 ms. NFE counts evaluations of the field (of the whole batch) in a forward solve. "
    "The gradient is that of the sum of squares of the final state by initial state and "
    "parameters. First call: trace, compile and run of the gradient in a fresh function, the least "
    "of several. Temp: XLA's scratch memory of the gradient. The floor is a bare scan over as many "
    "evaluations as the accepted steps need, checkpointed for the gradient; each row is held "
    "against that for its own steps."
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    cases: Sequence[str] | None = None,
    solvers: Sequence[Solver] | None = None,
    effort: Effort | None = None,
) -> dict[str, Any]:
    """Measure; results are written after every case.

    Args:
        out: folder of results.json, table.md and the figures.
        quick: few solvers and repeats, on the cases that are marked for it.
        progress: called with a row at every step.
        cases: names of cases, all if not given; what `out` holds of the others stays in the tables.
        solvers: rows to use, those of `SOLVERS` if not given.
        effort: how much to measure.
    """
    chosen = _chosen(cases, quick)
    if solvers is None:
        solvers = [row for row in SOLVERS if row.quick] if quick else SOLVERS
    effort = effort or (QUICK if quick else Effort())
    before = _before(out, cases, chosen)
    results: dict[str, Any] = {
        "command": _command(cases, quick),
        "note": NOTE,
        "missing": sorted({row.library for row in solvers if not row.installed()}),
        "machine": machine(),
        "versions": versions(*PACKAGES),
        "summary": _summary(before["cases"]),
        **before,
    }
    for number, name in enumerate(chosen, start=1):
        say = partial(_say, progress, {"epoch": number, "epochs": len(chosen)})
        _measure_into(results, name, solvers, effort, say)
        _write(out, results)
    kept = {"summary": [brief(row) for row in results["summary"]], "memory": results["memory"]}
    kept = {key: value for key, value in kept.items() if value}
    return kept | {"missing": results["missing"], "out": str(out)}


def _command(cases: Sequence[str] | None, quick: bool) -> str:
    chosen = "".join(f" --case {case}" for case in cases or ())
    return "isocline bench solvers" + chosen + " --quick" * quick


def _say(progress: Callable[..., None] | None, row: dict[str, Any], text: str) -> None:
    if progress is not None:
        progress(row | {"stage": text})


def _measure_into(
    results: dict[str, Any], name: str, solvers: Sequence[Solver], effort: Effort, say: Any
) -> None:
    """Measure one case, by the solvers that are installed."""
    if name == LONG:
        results["memory"] = memory.measure(say)
        return
    # Other solvers' compiled programs would only take memory from here on.
    jax.clear_caches()
    present = [row for row in solvers if row.installed()]
    found = measure(name, CASES[name], present, effort, say)
    found |= {key: results[key] for key in WHERE}
    order = list(CASES)
    results["cases"].append(found)
    results["cases"].sort(key=lambda one: order.index(one["case"]))
    results["summary"] = _summary(results["cases"])


def _summary(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for one in cases for row in summary_rows(one)]


def _write(out: Path, results: dict[str, Any]) -> None:
    parts = [NOTE]
    if results["missing"]:
        parts.append(f"Not installed, left out: {', '.join(results['missing'])}.")
    parts.append(tables(results["cases"]))
    if results["memory"]:
        parts += [f"## {LONG}: {memory.SUMMARY}", memory.NOTE, memory.table(results["memory"])]
    write_results(out, results, "\n\n".join(parts))
    panels = [
        (f"{one['case']}: {one['summary']}", work, one["curves"])
        for one in results["cases"]
        if one["curves"]
        for work in AXES
    ]
    if panels:
        work_precision(out, "work-precision", panels, AXES, columns=2)


def _before(out: Path, cases: Sequence[str] | None, chosen: list[str]) -> dict[str, list[Any]]:
    """Where some cases were asked for, what an earlier run has left of the others."""
    path, others = out / "results.json", CASES.keys() - chosen
    if not cases or not path.is_file():
        return {"cases": [], "memory": []}
    earlier = json.loads(path.read_text())
    where = {key: earlier.get(key) for key in WHERE}
    return {
        "cases": [where | one for one in earlier["cases"] if one["case"] in others],
        "memory": [] if LONG in chosen else earlier["memory"],
    }


def _chosen(cases: Sequence[str] | None, quick: bool) -> list[str]:
    known = [*CASES, LONG]
    unknown = set(cases or ()) - set(known)
    if unknown:
        raise InputError(f"There is no case {sorted(unknown)[0]!r}; there are: {', '.join(known)}.")
    return list(cases or ([name for name in CASES if CASES[name].quick] if quick else known))
