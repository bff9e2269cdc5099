"""Which encoder the latent ODE should read a history with, by a backtest, and what helps it.

Every row is `LatentODEForecaster` with default settings but for what the row names, fitted to the
built-in sea-surface temperatures and scored by `backtest()`: the same rolling origins as the
baselines, on the last fifth of the rows. The cost of deletion is what the RMSE rises by when half
of the history is withheld.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.data import builtin
from isocline.estimators import LatentODEForecaster
from isocline.train.checkpoint import write_bytes

from .results import markdown_table, versions, write_results

ENCODERS = {name: {"encoder": name} for name in ("rnn", "ode_rnn", "attention")}
HELPS = {
    "ode_rnn, one member": {"encoder": "ode_rnn", "members": 1},
    "ode_rnn, trained without deletion": {"encoder": "ode_rnn", "deletion": 0.0},
    "ode_rnn, growing horizon": {"encoder": "ode_rnn", "growth": 0.4},
    "ode_rnn, averaged weights": {"encoder": "ode_rnn", "average": 0.99},
}
SCORES = ("crps", "coverage_50", "coverage_90")
TITLES = {
    "model": "model",
    "validation": "validation",
    "rmse": "RMSE",
    "spread": "spread",
    "crps": "CRPS",
    "coverage_50": "cover 50 %",
    "coverage_90": "cover 90 %",
    "deletion_percent": "cost of deletion, %",
    "seconds": "seconds to fit",
    "seeds": "seeds",
}


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it."""

    data: str = "sst"
    seeds: int = 3
    deleted: float = 0.5
    repeats: int = 5
    models: dict[str, dict[str, Any]] = field(default_factory=lambda: ENCODERS)
    helps: dict[str, dict[str, Any]] = field(default_factory=lambda: HELPS)
    settings: dict[str, Any] = field(default_factory=dict)


QUICK = Protocol(seeds=1, repeats=1, helps={}, settings={"epochs": 2, "members": 1})


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and score every model with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or protocol.seeds
    runs: list[dict[str, Any]] = []
    # The comparison first, every seed of it; then what helps.
    for models in (protocol.models, protocol.helps):
        for seed in range(seeds):
            for model, changed in models.items():
                runs.append(_one(out, protocol, model, {**changed, "seed": seed}, progress))
                results = _results(protocol, runs, quick)
                write_results(out, results, results["table"])
    kept = ("summary", "note", "table_file")
    return {name: results[name] for name in kept} | {"out": str(out)}


def _one(
    out: Path, protocol: Protocol, model: str, changed: dict[str, Any], progress: Any
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    name = f"{model.replace(', ', '-').replace(' ', '_')}-{changed['seed']}"
    settings = protocol.settings | changed
    # The GRU depends on the seed and not on the encoder: one a seed is enough.
    told = {"settings": settings, "baselines": model == next(iter(protocol.models))}
    shared = {key: getattr(protocol, key) for key in ("data", "deleted", "repeats")}
    identity = json.dumps(shared | told, sort_keys=True)
    path = out / "runs" / f"{name}.json"
    if path.is_file() and (done := json.loads(path.read_text()))["identity"] == identity:
        return done

    def report(row: dict[str, Any]) -> None:
        progress(row | {"stage": f"{name} {row['stage']}"})

    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    started = time.perf_counter()
    forecaster = LatentODEForecaster(**settings)
    forecaster.fit(builtin.load(protocol.data), progress=None if progress is None else report)
    seconds = time.perf_counter() - started
    scores = {"identity": identity, "model": model, "seed": changed["seed"], "seconds": seconds}
    scores |= _scores(forecaster, protocol, told["baselines"])
    write_bytes(path, json.dumps(scores).encode())
    return scores


def _scores(forecaster: LatentODEForecaster, protocol: Protocol, baselines: bool) -> dict[str, Any]:
    """The backtest, and the RMSE with observations deleted. Without baselines no GRU is trained."""
    if not baselines:
        forecaster.gru_ = forecaster.predictor_
    metrics = forecaster.backtest().metrics
    thinned = forecaster.robustness((protocol.deleted,), protocol.repeats)[1]
    return {
        "scores": metrics["model"],
        "baselines": metrics["baselines"] if baselines else {},
        "deletion": thinned,
        "validation": min(row["validation"] for row in forecaster.history_),
        "nfe": forecaster.nfe_,
        "best_epoch": forecaster.best_epoch_,
        "windows": metrics["windows"],
        "origins": metrics["origins"],
        "horizon": metrics["horizon"],
    }


def _summary(protocol: Protocol, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each model and each baseline: means over the seeds, and the spread of the RMSE."""
    rows = []
    for model in protocol.models | protocol.helps:
        done = [one for one in runs if one["model"] == model]
        if done:
            row = _row(model, [one["scores"] for one in done])
            row["validation"] = float(np.mean([one["validation"] for one in done]))
            costs = [100 * one["deletion"]["increase"] for one in done]
            row["deletion_percent"] = round(float(np.mean(costs)), 1)
            row["seconds"] = round(float(np.median([one["seconds"] for one in done])), 1)
            rows.append(row)
    beside = [one["baselines"] for one in runs if one["baselines"]]
    return rows + [_row(name, [each[name] for each in beside]) for name in beside[0]]


def _row(model: str, scores: list[dict[str, float]]) -> dict[str, Any]:
    errors = [one["rmse"] for one in scores]
    row: dict[str, Any] = dict.fromkeys(TITLES) | {"model": model, "seeds": len(scores)}
    row |= {"rmse": float(np.mean(errors)), "spread": float(np.std(errors))}
    return row | {key: float(np.mean([one[key] for one in scores])) for key in SCORES}


def _results(protocol: Protocol, runs: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    summary = _summary(protocol, runs)
    seeds = sorted({one["seed"] for one in runs})
    command = f"isocline reproduce encoders --seeds {len(seeds)}" + (" --quick" if quick else "")
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": f"{runs[0]['windows']} windows of {runs[0]['horizon']:.0f} days; RMSE and CRPS in "
        "the units of the data (deg C). Means over the seeds; spread is the standard deviation of "
        "the RMSE over them. Validation is the CRPS, in units of each series' spread, by which training "
        "stops early: settings are chosen by it, and the backtest tells how good the choice was. Cost of deletion: by how much the RMSE rises when "
        f"{100 * protocol.deleted:.0f} % of the history's observations are withheld at random. "
        "Seconds are of one fit (median), on a machine that other work ran on.",
        "seeds": seeds,
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": runs,
        "table": markdown_table(tuple(TITLES.values()), [tuple(row.values()) for row in summary]),
        "table_file": "table.md",
    }
