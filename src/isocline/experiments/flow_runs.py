"""One flow, trained and tested: what the experiments on densities repeat."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.estimators import ContinuousFlow, NormalizingFlow
from isocline.train.checkpoint import write_bytes

from .results import kept_run

KINDS = {"continuous": ContinuousFlow, "planar": NormalizingFlow}
CLOSE = 0.1  # nats above the floor, a mark on the way


def learn(
    out: Path,
    name: str,
    kind: str,
    settings: dict[str, Any],
    data: dict[str, np.ndarray],
    *,
    progress: Callable[[dict[str, Any]], None] | None,
    more: Callable[[Any], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Fit to rows and score others; what is on disk is not done again.

    Args:
        out: the folder of the experiment; the run is kept in `runs/NAME.json` there, the model in
            `models/NAME`, and the state of one that goes on in `checkpoints/NAME`.
        name: of the run.
        kind: of `KINDS`.
        settings: of the estimator.
        data: "train" and "test".
        progress: called with a row after every epoch.
        more: what else to measure of the fitted model.
    """
    # All settings: a run of before other defaults is another run.
    model = KINDS[kind](**settings)
    identity = json.dumps([kind, model.get_params(), *(list(part.shape) for part in data.values())])
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    model.fit(
        data["train"],
        checkpoint=out / "checkpoints" / name,
        resume=True,
        progress=None if progress is None else lambda row: progress(row | {"run": name}),
    )
    scores = model.score_samples(data["test"])
    done = {
        "identity": identity,
        "name": name,
        "settings": model.get_params(),
        "parameters": model.n_parameters_,
        "nll": -float(np.mean(scores, dtype=np.float64)),
        "error": float(np.std(scores) / np.sqrt(len(scores))),
        "nfe": model.nfe_,
        "seconds": sum(row["seconds"] for row in model.history_),
        "history": model.history_,
    } | (more(model) if more is not None else {})
    model.save(out / "models" / name)
    write_bytes(path, json.dumps(done).encode())
    # A run of other settings would not go on from there.
    shutil.rmtree(out / "checkpoints" / name, ignore_errors=True)
    return done


def clock(history: list[dict[str, Any]]) -> list[float]:
    """Seconds of training at the end of each epoch.

    The first epoch of each stage is counted as the median one is: it compiles.
    """
    stages: dict[str, list[float]] = {}
    for row in history:
        stages.setdefault(row["stage"], []).append(row["seconds"])
    usual = {stage: float(np.median(seconds)) for stage, seconds in stages.items()}
    taken = [
        min(row["seconds"], usual[row["stage"]]) if row["epoch"] == 1 else row["seconds"]
        for row in history
    ]
    return np.cumsum(taken).tolist()


def compiling(history: list[dict[str, Any]]) -> float:
    """Seconds that `clock` leaves out: what first epochs took longer than usual."""
    return sum(row["seconds"] for row in history) - clock(history)[-1]


def time_to(history: list[dict[str, Any]], validation: float) -> float | None:
    """Seconds until the held-out rows were as likely as that; None if they never were."""
    met = [row["validation"] <= validation for row in history]
    return clock(history)[met.index(True)] if any(met) else None


def race(rows: list[dict[str, Any]], by: str, slow: str, fast: str) -> list[dict[str, Any]]:
    """How soon one model is as good as another has become, and as another that is nearly so good.

    Args:
        rows: runs, with "model" and what they are grouped by.
        by: "density" or "table".
        slow, fast: the models.
    """
    found = []
    for group in dict.fromkeys(row[by] for row in rows):
        runs = {row["model"]: row for row in rows if row[by] == group}
        if not {slow, fast} <= runs.keys():
            continue
        found.append({by: group} | _times(runs[slow], runs[fast]))
    return found


def _times(slow: dict[str, Any], fast: dict[str, Any]) -> dict[str, Any]:
    """Seconds of both runs to the best of the slow one, and to what is nearly so good."""
    best = min(row["validation"] for row in slow["history"])
    found: dict[str, Any] = {}
    for name, mark in (("the best", best), (f"{CLOSE} above it", best + CLOSE)):
        times = [time_to(run["history"], mark) for run in (slow, fast)]
        for run, seconds in zip((slow, fast), times):
            shown = "never" if seconds is None else f"{seconds:.1f}"
            found[f"{run['model']}, s to {name}"] = shown
        first, second = times
        ratio = None if first is None or second is None else f"{first / second:.1f}"
        found[f"ratio at {name}"] = ratio
    return found
