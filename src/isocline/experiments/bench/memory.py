"""Memory of the gradient of a long solve: many fixed steps, each solver in a process of its own."""

from __future__ import annotations

import ctypes
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from isocline.ode.adjoints import ADJOINTS

from ..results import markdown_table
from . import in_jax, in_torch, problems
from .contestant import InJax
from .in_torch import InTorch
from .matching import gradient_error, reference_gradient
from .problems import Problem
from .solvers import Solver

STEPS = (100, 1_000, 10_000)
LONGEST = 300.0  # seconds; who takes longer is stopped
SUMMARY = "MLP 2-64-64-2, batch 32: a gradient through a solve of fixed steps"
NOTE = (
    "Peak: by how much the resident memory of a fresh process rises during the second gradient "
    "(VmHWM of /proc, reset before it). Temp: XLA's scratch memory. torchdiffeq has no fixed steps "
    "of an order 5 method: it takes rk4, with four evaluations a step where the others take six."
)
TITLES = ("solver", "steps", "peak MB", "temp MB", "seconds", "error of gradient", "note")
REFERENCE_STEPS = 400  # of the gradient in float64 that the others are held against


def _ours(adjoint: str) -> Solver:
    options = {"method": "tsit5", "adjoint": adjoint, "fit": True}
    return Solver("isocline", f"tsit5, {adjoint}", InJax, in_jax.isocline, options)


def _diffrax(adjoint: str) -> Solver:
    options = {"solver": "Tsit5", "adjoint": f"{adjoint}Adjoint", "fit": True}
    return Solver("diffrax", f"Tsit5, {adjoint}", InJax, in_jax.diffrax, options, "diffrax")


def _torchdiffeq(setting: str, **options: Any) -> Solver:
    options = {"method": "rk4", **options}
    return Solver("torchdiffeq", setting, InTorch, in_torch.torchdiffeq, options, "torchdiffeq")


SOLVERS = (
    *(_ours(adjoint) for adjoint in ("replay", "reversible", "backsolve") if adjoint in ADJOINTS),
    _diffrax("RecursiveCheckpoint"),
    _diffrax("Direct"),
    _diffrax("Backsolve"),
    _torchdiffeq("rk4"),
    _torchdiffeq("rk4, continuous adjoint", adjoint=True),
)


def measure(say: Callable[[str], None], steps: tuple[int, ...] = STEPS) -> list[dict[str, Any]]:
    """Rows of memory and seconds; a solver that fails is not tried with more steps."""
    rows = []
    with TemporaryDirectory() as folder:
        truth = Path(folder) / "gradient.npy"
        np.save(truth, reference_gradient(_problem(), "float32", REFERENCE_STEPS))
        for index, solver in enumerate(SOLVERS):
            if not solver.installed():
                continue
            for count in steps:
                say(f"long: {solver.name}, {count} steps")
                row = {"solver": solver.name, "steps": count} | _in_child(index, count, truth)
                rows.append(row)
                if "failed" in row:
                    break
    return rows


def _problem() -> Problem:
    return problems.mlp((2, 64, 64, 2), 32)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""

    def cells(row: dict[str, Any]) -> tuple[Any, ...]:
        peak, temp = row.get("peak_bytes"), row.get("temp_bytes")
        seconds, error = row.get("seconds"), row.get("gradient_error")
        return (
            row["solver"],
            row["steps"],
            None if peak is None else f"{peak / 1e6:.3g}",
            None if temp is None else f"{temp / 1e6:.3g}",
            None if seconds is None else f"{seconds:.3g}",
            None if error is None else f"{error:.3g}",
            row.get("failed"),
        )

    return markdown_table(TITLES, [cells(row) for row in rows])


def _in_child(index: int, steps: int, truth: Path) -> dict[str, Any]:
    # What the shell would hand over is not needed: the child is this very Python.
    code = f"from {__name__} import child; child({index}, {steps}, {str(truth)!r})"
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"stopped after {LONGEST:.0f} s"}
    if ended.returncode:
        last = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        return {"failed": last[:200]}
    return json.loads(ended.stdout.splitlines()[-1])


def child(index: int, steps: int, truth: str) -> None:
    """Take one gradient twice, and print what the second one cost as JSON.

    Args:
        index: of the solver.
        steps: of the solve.
        truth: the file of the gradient that it is held against.
    """
    solver = SOLVERS[index]
    contestant = solver.enter_as(
        _problem(), "float32", solver.build, solver.options | {"steps": steps}
    )
    contestant.settle(1e-3, 1)
    before = _reset_peak()
    started = time.perf_counter()
    gradient = contestant.gradient()
    seconds = time.perf_counter() - started
    row: dict[str, Any] = {"peak_bytes": _peak() - before, "seconds": seconds}
    row["gradient_error"] = gradient_error(gradient, np.load(truth))
    print(json.dumps(row | {"temp_bytes": contestant.facts.get("temp_bytes")}))


def _reset_peak() -> int:
    """Make the peak of resident memory start from now; bytes resident now."""
    with suppress(AttributeError):  # what is free but kept would hide what is taken (glibc only)
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _status("VmRSS")


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
