"""The table of the stays: every task, ours beside the baselines and the papers' figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .results import command_of, markdown_table, versions

# Rubanova et al. 2019, tables 4 and 5; Shukla & Marlin 2021, table 2, and the seconds an epoch that
# they give for all three. MSE in thousandths.
PAPERS = {
    "interpolation": (
        ("latent ODE, ODE-RNN encoder (Rubanova et al. 2019)", {"mse_paper": 2.118}),
        ("ODE-RNN (the same)", {"mse_paper": 2.361}),
    ),
    "extrapolation": (
        ("latent ODE with Poisson process (Rubanova et al. 2019)", {"mse_paper": 2.208}),
        ("latent ODE, ODE-RNN encoder (the same)", {"mse_paper": 2.231}),
    ),
    "mortality": (
        ("ODE-RNN (Rubanova et al. 2019)", {"auc": 0.833, "seconds_an_epoch": 990}),
        ("latent ODE, ODE-RNN encoder (the same)", {"auc": 0.829, "seconds_an_epoch": 1320}),
        ("mTAND-Full (Shukla & Marlin 2021)", {"auc": 0.858, "seconds_an_epoch": 12}),
    ),
}
THOUSANDTHS = ("mse", "mse_paper", "mse_reconstruction")
COLUMNS = {
    "mse": "MSE, 1e-3",
    "mse_paper": "by the paper's code, 1e-3",
    "mse_reconstruction": "reconstruction by it, 1e-3",
    "rmse": "RMSE, std",
    "auc": "AUC",
}
NOTE = (
    "Means over the seeds, and after the sign their standard deviation; each seed draws its own "
    "stays to train with (64 %), to choose the epoch by (16 %) and to test with (20 %). "
    "Interpolation: half of a stay's minutes are read, the others asked. Extrapolation: the second "
    "day from the first. Mortality: death in hospital from all 48 hours. MSE: over all observed "
    "values of the 37 series, from 0 (the least value in the data) to 1 (the largest). By the "
    "paper's code (github.com/YuliaRubanova/latent_ode): values divided by the largest, squares "
    "averaged for each stay and channel, then over all 41 channels, where one that was not "
    "observed counts as 0; its 'interpolation' reads all rows and asks for the same ones, which is "
    "the column 'reconstruction': whoever repeats what was read has nearly 0 "
    "there (not 0: faults are read as 6 standard deviations). The 4 descriptors are "
    "read and not asked; that code asks for them as well. RMSE: in standard "
    "deviations, without faults beyond 6 of them. Seconds: of a machine that other work ran on."
)
DIFFERS = (
    "Rows of papers are as published, and their protocol differs: set A and B without labels "
    "(ours: set A), no validation part, scale over all stays, what is not known (-1) read as a "
    "value, errors of single draws (ours: of the mean of 16). Their seconds an epoch are those "
    "that Shukla & Marlin give, of another machine."
)


def results_of(
    protocol: dict[str, Any], runs: list[dict[str, Any]], seeds: Sequence[int], quick: bool
) -> dict[str, Any]:
    """What is written: a row for each task and model, papers last."""
    summary = [row for task in protocol["learning"] for row in _rows(task, runs)]
    titles = ("task", "model", *COLUMNS.values(), "s an epoch", "seeds")
    keys = ("task", "model", *COLUMNS, "seconds_an_epoch", "seeds")
    cells = [tuple(row[key] for key in keys) for row in summary]
    return {
        "command": command_of("physionet", seeds, quick),
        "protocol": protocol,
        "note": NOTE,
        "versions": versions("equinox", "optax", "scikit-learn"),
        "summary": summary,
        "runs": [{key: one[key] for key in one if key != "shown"} for one in runs],
        "table": markdown_table(titles, cells) + "\n\n" + DIFFERS,
        "table_file": "table.md",
    }


def _rows(task: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a task, none before the first of its runs is done."""
    own = [run for run in runs if run["task"] == task]
    models = dict.fromkeys(run["model"] for run in own)
    rows = [_row(task, [run for run in own if run["model"] == model]) for model in models]
    return rows + [_published(task, name, found) for name, found in PAPERS[task] if own]


def _row(task: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A model's scores over its seeds."""
    row: dict[str, Any] = {"task": task, "model": runs[0]["model"], "seeds": len(runs)}
    # Who was trained to tell who dies is not compared in what it was trained for beside.
    for name in COLUMNS:
        found = [run["scores"][name] for run in runs if name in run["scores"]]
        found = found if (name == "auc") == (task == "mortality") else []
        row[name] = _spread(found, 1000 if name in THOUSANDTHS else 1) if found else None
    times = [run["seconds_an_epoch"] for run in runs if "seconds_an_epoch" in run]
    row["seconds_an_epoch"] = f"{np.median(times):.1f}" if times else None
    return row


def _spread(found: list[float], factor: int) -> str:
    mean = f"{factor * np.mean(found):.3f}"
    return mean if len(found) == 1 else f"{mean} ± {factor * np.std(found):.3f}"


def _published(task: str, model: str, found: dict[str, float]) -> dict[str, Any]:
    seconds = found.get("seconds_an_epoch")
    empty = dict.fromkeys(COLUMNS) | {"seeds": None}
    empty |= {"seconds_an_epoch": None if seconds is None else f"{seconds:.0f}"}
    # What the paper calls interpolation is our column of reconstruction.
    names = {"mse_paper": "mse_reconstruction"} if task == "interpolation" else {}
    scores = {name: value for name, value in found.items() if name in COLUMNS}
    own = {names.get(name, name): f"{value:.3f}" for name, value in scores.items()}
    return {"task": task, "model": model} | empty | own
