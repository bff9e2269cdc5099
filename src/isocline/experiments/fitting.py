"""One fit with its backtest: what the experiments on real series repeat."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.data import SeriesTable, builtin
from isocline.estimators import LatentODEForecaster
from isocline.train.checkpoint import write_bytes

from .results import kept_run

SCORES = ("crps", "coverage_50", "coverage_90")
TITLES = {
    "model": "model",
    "rmse": "RMSE",
    "spread": "spread",
    "crps": "CRPS",
    "coverage_50": "cover 50 %",
    "coverage_90": "cover 90 %",
    "deletion_percent": "cost of deletion, %",
    "validation": "validation",
    "seconds": "seconds to fit",
    "seeds": "seeds",
}
NOTE = (
    "RMSE and CRPS in the units of the data, means over the seeds; spread is the standard "
    "deviation of the RMSE over them. Cost of deletion: by how much the RMSE rises when half of "
    "the history's observations are withheld at random. Validation: the CRPS, in units of each "
    "series' spread, by which training stops early, on rows before the backtest. Seconds are of "
    "one fit (median), on a machine that other work ran on."
)
DELETED, REPEATS = 0.5, 5


def fit_and_score(
    out: Path,
    name: str,
    data: str,
    settings: dict[str, Any],
    *,
    baselines: bool,
    progress: Callable[[dict[str, Any]], None] | None,
    look: Callable[[LatentODEForecaster, Any], None] | None = None,
    load: Callable[[str], SeriesTable] | None = None,
    delete: bool = True,
) -> dict[str, Any]:
    """Fit, backtest, delete observations; what is on disk is not done again.

    Args:
        out: the folder of the experiment; the run is kept in `runs/NAME.json` there.
        name: of the run.
        data: the name of a data set.
        settings: of the forecaster, beside its defaults; with the seed.
        baselines: score them as well; the GRU is trained for that.
        progress: called with a row after every epoch.
        look: called with the forecaster and its `Backtest`, to draw it.
        load: what gives the table of that name; the built-in one if None.
        delete: whether observations of the histories are; where windows are many, it takes longer
            than all else.
    """
    # All settings: a run of before other defaults is another run.
    whole = LatentODEForecaster(**settings).settings()
    # Runs of before the linear rule are those without it.
    whole = {name: value for name, value in whole.items() if (name, value) != ("linear", False)}
    deletion = (DELETED, REPEATS) * delete
    identity = json.dumps([data, whole, baselines, *deletion], sort_keys=True)
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    table = (load or builtin.load)(data)
    report = None
    if progress is not None:
        report = lambda row: progress(row | {"stage": f"{name} {row['stage']}"})  # noqa: E731
    started = time.perf_counter()
    forecaster = LatentODEForecaster(**settings).fit(table, progress=report)
    seconds = time.perf_counter() - started
    if not baselines:
        forecaster.gru_ = forecaster.predictor_
    backtest = forecaster.backtest()
    metrics = backtest.metrics
    if look is not None:
        look(forecaster, backtest)
    done = {
        "identity": identity,
        "name": name,
        "seed": settings["seed"],
        "settings": forecaster.settings(),
        "seconds": seconds,
        "scores": metrics["model"],
        "baselines": metrics["baselines"] if baselines else {},
        "channels": metrics.get("channels"),
        "deletion": _cost_of(deletion, forecaster),
        "validation": min(row["validation"] for row in forecaster.history_),
        "nfe": forecaster.nfe_,
        "epochs": len(forecaster.history_),
        "best_epoch": forecaster.best_epoch_,
        **{name: metrics[name] for name in ("windows", "origins", "horizon")},
    }
    write_bytes(path, json.dumps(done).encode())
    return done


def _cost_of(
    deletion: tuple[float, ...], forecaster: LatentODEForecaster
) -> dict[str, float] | None:
    """What is lost with a share of the history, the mean of so many times."""
    if not deletion:
        return None
    share, repeats = deletion
    return forecaster.robustness((share,), int(repeats))[1]


def model_row(model: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table for a model: means over its runs, one a seed."""
    row = scores_row(model, [one["scores"] for one in runs])
    costs = [100 * one["deletion"]["increase"] for one in runs]
    row["deletion_percent"] = round(float(np.mean(costs)), 1)
    row["validation"] = float(np.mean([one["validation"] for one in runs]))
    row["seconds"] = round(float(np.median([one["seconds"] for one in runs])))
    return row


def baseline_rows(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row of the table for each baseline."""
    beside = [one["baselines"] for one in runs if one["baselines"]]
    return [scores_row(name, [each[name] for each in beside]) for name in beside[0]]


def scores_row(model: str, scores: list[dict[str, float]]) -> dict[str, Any]:
    """A row of the table, its other columns empty."""
    errors = [one["rmse"] for one in scores]
    row: dict[str, Any] = dict.fromkeys(TITLES) | {"model": model, "seeds": len(scores)}
    row |= {"rmse": float(np.mean(errors)), "spread": float(np.std(errors))}
    return row | {key: float(np.mean([one[key] for one in scores])) for key in SCORES}
