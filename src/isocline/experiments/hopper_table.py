"""The table of the hopper: both tasks, ours beside the baselines and the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .hopper_tracks import COUNTS
from .results import command_of, markdown_table, versions

# Rubanova et al. 2019, table 3: MSE in hundredths where 10, 20, 30 and 50 % are read.
PAPER = {
    "interpolation": {
        "latent ODE, ODE-RNN encoder": (0.360, 0.295, 0.300, 0.285),
        "latent ODE, RNN encoder": (2.477, 0.578, 2.768, 0.447),
        "ODE-RNN": (1.647, 1.209, 0.986, 0.665),
        "RNN-VAE": (6.514, 6.408, 6.305, 6.100),
    },
    "extrapolation": {
        "latent ODE, ODE-RNN encoder": (1.441, 1.400, 1.175, 1.258),
        "latent ODE, RNN encoder": (1.663, 1.653, 1.485, 1.377),
        "ODE-RNN": (13.508, 31.950, 15.465, 26.463),
        "RNN-VAE": (2.378, 2.135, 2.021, 1.782),
    },
}
ENCODERS = {
    "attention": "attention",
    "mtan": "mTAN",
    "rnn": "RNN",
    "ode_rnn": "ODE-RNN",
    "cde": "neural CDE",
}
NOTE = (
    "Mean square error of the test trajectories (20 %), in hundredths, where so many per cent of "
    "100 points are read; with several seeds, means and after the sign their standard deviation, "
    "each with its own trajectories to train with (72 %) and to choose the epoch by (8 %). "
    "Interpolation: a window of 100 points at a random place, all of it asked, what was read "
    "included. Extrapolation: the second 100 points from the first 100. The first four columns are "
    "in the units of the paper's code (github.com/YuliaRubanova/latent_ode), which subtracts a "
    "channel's least value and divides by its largest; the last four are of values from 0 (the "
    "least) to 1 (the largest), as the paper's text has it. Both are over all trajectories; models "
    "do not know them, as their scale is that of the training trajectories. One latent ODE does "
    "for all four columns, as the share that is read is drawn anew for each "
    "training trajectory in each step, and its window as well; the paper trains one a column, and "
    "its code draws each trajectory's window once. The paper has no validation part, more training "
    "trajectories (80 %) and errors of single draws (ours: of the mean of several); in its code, "
    "extrapolation reads the first third and is asked for the other two. Its trajectories are of "
    "an older MuJoCo, by their code from the same initial states. The GRU is trained for about as "
    "many seconds as the latent ODE. Cubics: positions between what was read by cubics with the "
    "read velocities as their slopes. Rows with fewer epochs compare the encoders. "
    "Seconds: of a machine that other work ran on."
)


def results_of(
    protocol: dict[str, Any], runs: list[dict[str, Any]], seeds: Sequence[int], quick: bool
) -> dict[str, Any]:
    """What is written: a row for each task, model and length of training, the paper's last."""
    summary = [row for task in protocol["tasks"] for row in _rows(task, runs)]
    shares = [f"{count} %" for count in COUNTS]
    titles = ("task", "model", "epochs", *shares, *(f"[0, 1]: {share}" for share in shares))
    titles += ("cover 90 %", "s an epoch", "seeds")
    return {
        "command": command_of("hopper", seeds, quick),
        "protocol": protocol,
        "note": NOTE,
        "versions": versions("equinox", "optax", "dm-control", "mujoco"),
        "summary": summary,
        "runs": [{key: one[key] for key in one if key != "shown"} for one in runs],
        "table": markdown_table(titles, [tuple(row.values()) for row in summary]),
        "table_file": "table.md",
    }


def _rows(task: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a task."""
    own = [run for run in runs if run["task"] == task]
    kinds = dict.fromkeys((run["model"], run["epochs"]) for run in own)
    rows = [
        _row(task, [run for run in own if (run["model"], run["epochs"]) == kind]) for kind in kinds
    ]
    return rows + [_published(task, name, found) for name, found in PAPER[task].items()]


def _row(task: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """A model's scores over its seeds."""
    row = _empty(task, _title(runs[0]["model"]))
    for count in COUNTS:
        found = [run["scores"][str(count)] for run in runs]
        row[f"mse_paper_{count}"] = _spread([100 * one["mse_paper"] for one in found])
        row[f"mse_{count}"] = _spread([100 * one["mse"] for one in found])
    row |= {"epochs": runs[0]["epochs"], "seeds": len(runs)}
    if runs[0]["epochs"]:
        covers = [one["coverage_90"] for run in runs for one in run["scores"].values()]
        row["coverage_90"] = f"{np.mean(covers):.3f}"
        row["seconds_an_epoch"] = f"{np.median([run['seconds_an_epoch'] for run in runs]):.1f}"
    return row


def _title(model: str) -> str:
    if model in ENCODERS:
        return f"latent ODE, {ENCODERS[model]} encoder"
    return "GRU" if model == "gru" else model


def _empty(task: str, model: str) -> dict[str, Any]:
    columns = [f"{name}_{count}" for name in ("mse_paper", "mse") for count in COUNTS]
    others = ("coverage_90", "seconds_an_epoch", "seeds")
    return {"task": task, "model": model} | dict.fromkeys(("epochs", *columns, *others))


def _published(task: str, model: str, found: Sequence[float]) -> dict[str, Any]:
    row = _empty(task, f"{model} (Rubanova et al. 2019)")
    own = zip(COUNTS, found, strict=True)
    return row | {f"mse_paper_{count}": f"{value:.3f}" for count, value in own}


def _spread(found: list[float]) -> str:
    mean = f"{np.mean(found):.3f}"
    return mean if len(found) == 1 else f"{mean} ± {np.std(found):.3f}"
