"""What the forecaster is good for: default settings on series of many kinds, beside simple models.

Defaults were chosen by the series of the development part alone; those of the other part were
looked at only when everything was decided.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from isocline.data import SeriesTable
from isocline.data.real_series import load_series
from isocline.data.table import Series
from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster
from isocline.estimators.asking import default_horizon
from isocline.estimators.finishing import finish
from isocline.estimators.predicting import requests_at
from isocline.evaluation import rolling_origins, summarize
from isocline.evaluation.windows import comparable
from isocline.train.checkpoint import write_bytes

from .fitness_figure import draw
from .results import answer_of, command_of, kept_run, silent, versions, write_results

DEVELOPED = {
    "delhi": "Delhi: temperature, humidity, wind, pressure, daily",
    "nino": "Four Niño regions, weekly, a third deleted",
    "flu": "Influenza of ten US regions, weekly",
    "covid": "COVID-19 in Italy: cases, in hospital, daily",
    "pacific": "Anomalies of 15 boxes of the Pacific, monthly",
    "lynx_hare": "Lynx and hare, 21 years",
    "stocks": "Prices of five shares, monthly",
    "us_macro": "US economy: product, prices, two rates, quarterly",
    "airline": "Airline passengers, monthly",
    "electrical_equipment": "Sales of electrical equipment, monthly",
    "nile": "Flow of the Nile, yearly",
    "fertility": "Births a woman in 52 countries, yearly",
}
REPORTED = {
    "seattle": "Seattle: rain, temperatures, wind, daily",
    "ett": "ETTh1: a transformer, hourly, 60 days",
    "illness": "US influenza-like illness, weekly",
    "measles": "Measles in seven cities, weekly",
    "vowels": "Japanese vowels, 270 short utterances",
    "simulated": "Simulated: 5 series of 700 irregular points",
    "us_employment": "US employment in six sectors, monthly",
    "sunspots": "Sunspots, yearly",
    "co2": "Carbon dioxide at Mauna Loa, weekly with gaps",
}
TITLES = {**DEVELOPED, **REPORTED}
MODELS = {
    "model": "latent ODE, pooled",
    "latent_ode": "latent ODE",
    "persistence": "persistence",
    "seasonal_naive": "seasonal naive",
    "climatology": "climatology",
    "linear": "linear",
    "gru": "GRU",
}
NOTE = (
    "Default settings, one fit for each seed (means). Pooled is what the forecaster says, the "
    "latent ODE and the shares of simple rules; the latent ODE beside it is the same one without "
    "the linear rule. Errors are in standard deviations of each channel's training rows, so that "
    "channels of other units can be pooled; the lowest of a row is in bold. Seconds are of one fit "
    "without the GRU, on a core that other work ran on as well. Choices were made on the first "
    "part of the sets; the second was only reported."
)


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it."""

    data: tuple[str, ...] = tuple(TITLES)
    seeds: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


QUICK = Protocol(data=("lynx_hare", "seattle"), settings={"epochs": 2, "members": 1})


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and score every set with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or range(protocol.seeds)
    say = progress or silent
    runs: dict[str, list[dict[str, Any]]] = {}
    missing: dict[str, str] = {}
    results: dict[str, Any] = {}
    for seed in seeds:
        for name in protocol.data:
            settings = protocol.settings | {"seed": seed}
            try:
                runs.setdefault(name, []).append(_run_one(out, name, settings, say))
            except InputError as error:
                # A set whose file is not there is left out, and said to be.
                del runs[name]
                missing[name] = str(error)
                say({"stage": name})
                continue
            results = _results(protocol, runs, missing, (list(seeds), quick))
            write_results(out, results, results["table"])
            draw(out, results["summary"], MODELS, set(DEVELOPED))
    if not runs:
        raise InputError(next(iter(missing.values())))
    # Once more, with the names of sets that were left out after the last that was run.
    results = _results(protocol, runs, missing, (list(seeds), quick))
    write_results(out, results, results["table"])
    return answer_of(results, out)


def standardized(table: SeriesTable, horizon: float) -> SeriesTable:
    """The table with each channel divided by the standard deviation of its training rows."""
    known = table.until(rolling_origins(table, horizon).train_end)
    spread = np.nanstd(np.concatenate([one.values for one in known.series]), axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return table.with_series([Series(s.name, s.times, s.values / spread) for s in table.series])


def _run_one(
    out: Path, name: str, settings: dict[str, Any], say: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Fit, backtest, keep."""
    # All settings: a run of before other defaults is another run.
    identity = json.dumps([name, LatentODEForecaster(**settings).settings()], sort_keys=True)
    path = out / "runs" / f"{name}-{settings['seed']}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    table = load_series(name)
    table = standardized(table, default_horizon(table))
    # A process that goes on compiling runs out of memory maps.
    jax.clear_caches()
    started = time.perf_counter()
    forecaster = LatentODEForecaster(**settings).fit(
        table, progress=lambda row: say(row | {"stage": f"{name} {row['stage']}"})
    )
    seconds = time.perf_counter() - started
    metrics = forecaster.backtest().metrics
    done = {
        "identity": identity,
        "name": name,
        "seed": settings["seed"],
        "settings": forecaster.settings(),
        "series": len(table.series),
        "rows": sum(len(one) for one in table.series),
        "channels": len(table.channels),
        "notes": list(table.notes),
        "periods": list(forecaster.periods_),
        "logarithms": [one.shift for one in forecaster.predictor_.scaling.transforms],
        "seconds": seconds,
        "scores": {
            "model": metrics["model"],
            "latent_ode": _alone(forecaster, table),
            **metrics["baselines"],
        },
        "shares": metrics["shares"],
        "validation": min(row["validation"] for row in forecaster.history_),
        "epochs": len(forecaster.history_),
        "best_epoch": forecaster.best_epoch_,
        "windows": metrics["windows"],
        "horizon": metrics["horizon"],
    }
    write_bytes(path, json.dumps(done).encode())
    return done


def _alone(forecaster: LatentODEForecaster, table: SeriesTable) -> dict[str, float]:
    """Scores of the trained model without the linear rule, calibrated for itself."""
    split, known = forecaster.split_, forecaster.predictor_
    scaling = known.scaling.anew(table.until(split.train_end))
    alone = finish(known.model, scaling, known.shape, table, split, linear=False)
    requests, targets = requests_at(table, split.origins, forecaster.horizon_)
    truth = [comparable(history, target) for (history, *_), target in zip(requests, targets)]
    return summarize(alone.forecasts(requests), truth)


def _summary_row(name: str, done: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds."""
    first = done[0]
    row: dict[str, Any] = {"data": name, "half": "developed" if name in DEVELOPED else "reported"}
    row |= {key: first[key] for key in ("series", "rows", "channels")}
    for score in ("rmse", "crps"):
        for model in MODELS:
            values = [one["scores"][model][score] for one in done]
            row[f"{score}_{model}"] = float(np.mean(values))
    for share in ("coverage_50", "coverage_90"):
        row[share] = float(np.mean([one["scores"]["model"][share] for one in done]))
    shares = [sum(one["shares"].values()) for one in done]
    row["share"] = 1 - float(np.mean(shares))
    return row | {"seconds": round(float(np.median([one["seconds"] for one in done])))}


def _results(
    protocol: Protocol,
    runs: dict[str, list[dict[str, Any]]],
    missing: dict[str, str],
    asked: tuple[list[int], bool],
) -> dict[str, Any]:
    summary = [_summary_row(name, done) for name, done in runs.items()]
    return {
        "command": command_of("fitness", *asked),
        "protocol": asdict(protocol),
        "note": NOTE + "".join(f" Left out: {text}" for text in missing.values()),
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [one for done in runs.values() for one in done],
        "table": table_of(summary),
        "table_file": "table.md",
    }


def table_of(summary: list[dict[str, Any]]) -> str:
    """Errors of all models, the lowest in bold; the development half first, then the other."""
    titles = ["series", "size", *(f"RMSE {name}" for name in MODELS.values())]
    titles += [*(f"CRPS {name}" for name in MODELS.values()), "in 50 %", "in 90 %"]
    titles += ["share of the latent ODE", "seconds"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in summary:
        size = f"{row['series']} series, {row['rows']:,} rows, {row['channels']} channels"
        cells = [TITLES[row["data"]], size.replace("1 channels", "1 channel")]
        cells += [cell for score in ("rmse", "crps") for cell in _errors(row, score)]
        cells += [f"{100 * row[name]:.0f} %" for name in ("coverage_50", "coverage_90", "share")]
        lines.append("| " + " | ".join([*cells, str(row["seconds"])]) + " |")
    return "\n".join(lines)


def _errors(row: dict[str, Any], score: str) -> list[str]:
    """A score of every model, the lowest in bold."""
    values = [row[f"{score}_{model}"] for model in MODELS]
    return [f"**{v:.3f}**" if v == min(values) else f"{v:.3f}" for v in values]
