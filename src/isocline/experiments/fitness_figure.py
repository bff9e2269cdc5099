"""The figure of `fitness`: how much worse than the forecaster each model is, set by set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .results import save_figure

COLOURS = {
    "latent_ode": "#0072B2",
    "persistence": "#999999",
    "seasonal_naive": "#E69F00",
    "climatology": "#009E73",
    "linear": "#56B4E9",
    "gru": "#CC79A7",
}
MARKS = {
    "latent_ode": "*",
    "persistence": "o",
    "seasonal_naive": "s",
    "climatology": "^",
    "linear": "v",
    "gru": "D",
}


def draw(
    out: Path, summary: list[dict[str, Any]], models: dict[str, str], developed: set[str]
) -> None:
    """Errors over the forecaster's, RMSE and CRPS, a row a set.

    Args:
        out: where fitness.png and fitness.svg go.
        summary: a row a set, with `rmse_MODEL` and `crps_MODEL`.
        models: titles by name, the forecaster among them as "model".
        developed: sets that choices were made on; they stand in grey letters.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 1.6 + 0.42 * len(summary)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(summary))[::-1]
    for axis, score in zip(axes, ("rmse", "crps"), strict=True):
        for name, colour in COLOURS.items():
            ratios = [row[f"{score}_{name}"] / row[f"{score}_model"] for row in summary]
            axis.plot(ratios, places, MARKS[name], color=colour, ms=6, label=models[name])
        axis.axvline(1, color="#0072B2", lw=1.6)
        axis.set_xscale("log")
        ticks = [tick for tick in (0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if _seen(axis, tick)]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.grid(axis="x", alpha=0.3)
        axis.set_title(f"{score.upper()}, over the pooled forecast's")
    axes[0].set_ylim(-0.6, len(summary) - 0.4)
    axes[0].set_yticks(places, [row["data"] for row in summary])
    for label, row in zip(axes[0].get_yticklabels(), summary, strict=True):
        label.set_color("#777777" if row["data"] in developed else "black")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle("Right of the line the forecaster is better (grey names: choices made on them)")
    save_figure(figure, out, "fitness")


def _seen(axis: Any, tick: float) -> bool:
    low, high = axis.get_xlim()
    return low <= tick <= high
