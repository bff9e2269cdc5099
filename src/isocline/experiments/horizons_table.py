"""The tables of `horizons`: long horizons, noise-driven series, and the forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .fitting import NOTE, TITLES, model_row
from .horizons_tracks import LEVELS
from .results import markdown_table

TRAININGS = {"plain": "plain", "growing": "growing horizon", "shooting": "multiple shooting"}
DYNAMICS = {"ode": "latent ODE", "sde": "latent SDE"}
SETS = {"predators": "predators and prey", "well": "double well", "pacific": "Pacific"}
LONG = {
    "horizon": "horizon, contexts",
    "kind": "training",
    "rmse": "RMSE",
    "spread": "spread",
    "validation": "validation",
    "nfe": "NFE",
    "seconds": "seconds",
    "seconds_an_epoch": "an epoch",
    "seeds": "seeds",
}
DRIVEN = {
    "data": "series",
    "kind": "model",
    "nll": "NLL",
    "crps": "CRPS",
    "spread_crps": "spread",
    "coverage_50": "cover 50 %",
    "coverage_90": "cover 90 %",
    "rmse": "RMSE",
    "validation": "validation",
    "seconds": "seconds",
    "seeds": "seeds",
}
REMARK = (
    "Predators and prey: RMSE of the mean of log populations (their standard deviation is about "
    "0.6) against the trajectories without noise, over the whole horizon after the first context "
    "of 40 test series; validation: the same against noisy series, by which the epoch is chosen. "
    "NFE of a forecast. Noise-driven: NLL in nats a value, CRPS and coverage of observations "
    "within one context after the origin; validation is a CRPS. Spread: standard deviation over "
    "the seeds, each with series of its own. Seconds to train, compilation among them, and of the "
    "median epoch, on a machine that other work ran on."
)
AVERAGED = ("rmse", "nll", "crps", "validation", "nfe", "seconds", "seconds_an_epoch")


class Found(NamedTuple):
    """What is done: runs, fits of the forecaster by name, and why a set is left out."""

    runs: list[dict[str, Any]]
    fits: dict[str, list[dict[str, Any]]]
    missing: dict[str, str]


def summary_of(cases: Sequence[tuple[str, int, str]], found: Found) -> dict[str, Any]:
    """Summary, runs, table and note of the results."""
    rows = [row for case in cases if (row := _row(case, found.runs)) is not None]
    fitted = [model_row(name, done) for name, done in found.fits.items()]
    long = [row for row in rows if row["data"] == SETS["predators"]]
    driven = [row for row in rows if row["data"] != SETS["predators"]]
    tables = [
        _table("Predators and prey, from one context:", LONG, long),
        _table("Series that noise drives:", DRIVEN, driven),
        _table("The forecaster, one member, on the built-in temperatures:", TITLES, fitted),
    ]
    every = [*found.runs, *(one for done in found.fits.values() for one in done)]
    left_out = [f"Left out: {text}" for text in found.missing.values()]
    return {
        "note": " ".join([REMARK, *[NOTE][: len(fitted)], *left_out]),
        "summary": [*rows, *fitted],
        "runs": [{key: run[key] for key in run if key != "examples"} for run in every],
        "table": "\n\n".join(filter(None, tables)),
    }


def _table(caption: str, titles: dict[str, str], rows: list[dict[str, Any]]) -> str:
    cells = [[row[key] for key in titles] for row in rows]
    return f"{caption}\n\n{markdown_table(list(titles.values()), cells)}" if rows else ""


def _row(case: tuple[str, int, str], runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Means over the seeds, or None before the first of them is done."""
    done = [one for one in runs if one["case"] == list(case)]
    if not done:
        return None
    mean, spread = (
        {key: float(of([one[key] for one in done])) for key in AVERAGED} for of in (np.mean, np.std)
    )
    inside = dict(zip(LEVELS, np.mean([one["coverage"] for one in done], axis=0), strict=True))
    data, horizon, kind = case
    return {
        "data": SETS[data],
        "horizon": horizon,
        "kind": (TRAININGS | DYNAMICS)[kind],
        **mean,
        "spread": spread["rmse"],
        "spread_crps": spread["crps"],
        "coverage_50": float(inside[0.5]),
        "coverage_90": float(inside[0.9]),
        "nfe": round(mean["nfe"]),
        "seconds": round(mean["seconds"]),
        "seconds_an_epoch": round(mean["seconds_an_epoch"], 2),
        "seeds": len(done),
    }
