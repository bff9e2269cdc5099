"""The figure of `horizons`: errors by horizon, a long forecast, one amid noise, and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .horizons_table import DYNAMICS, SETS, TRAININGS
from .horizons_tracks import LEVELS
from .results import save_figure

COLOURS = {
    "plain": "#999999",
    "growing": "#E69F00",
    "shooting": "#0072B2",
    "ode": "#D55E00",
    "sde": "#009E73",
}


def draw(out: Path, runs: list[dict[str, Any]]) -> None:
    """Write horizons.png and horizons.svg.

    Args:
        out: the folder.
        runs: with their case (set, horizon, kind), scores and the examples of the first seed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 7.2), layout="constrained")
    axes = figure.subplots(2, 2)
    _errors(axes[0, 0], runs)
    _long(axes[0, 1], runs)
    _driven(axes[1, 0], runs)
    _coverage(axes[1, 1], runs)
    for axis in (axes[0, 0], axes[1, 0], axes[1, 1]):  # the colours above are the same
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, frameon=False)
    save_figure(figure, out, "horizons")


def _errors(axis: Any, runs: list[dict[str, Any]]) -> None:
    """Each seed a point, the means joined."""
    horizons = sorted({one["case"][1] for one in runs})
    for kind, title in TRAININGS.items():
        found: dict[int, list[float]] = {}
        for one in runs:
            if one["case"][2] == kind:
                found.setdefault(one["case"][1], []).append(one["rmse"])
        done = sorted(found)
        axis.plot(done, [np.mean(found[h]) for h in done], color=COLOURS[kind], label=title)
        for h in done:
            axis.plot([h] * len(found[h]), found[h], "o", ms=4, color=COLOURS[kind])
    axis.set_xscale("log", base=2)
    axis.set_xticks(horizons, [f"{h}" for h in horizons])
    axis.set_ylim(bottom=0)
    axis.set_xlabel("horizon, contexts")
    axis.set_ylabel("RMSE")
    axis.set_title("Predators and prey: error by training")


def _long(axis: Any, runs: list[dict[str, Any]]) -> None:
    """One series over the longest horizon."""
    longest = max(one["case"][1] for one in runs if one["case"][2] in TRAININGS)
    drawn = False
    for one in runs:
        _, horizon, kind = one["case"]
        if kind not in TRAININGS or horizon != longest or one["examples"] is None:
            continue
        shown = {key: np.array(array, float)[0] for key, array in one["examples"].items()}
        if not drawn:
            known, drawn = shown["known"], True
            axis.plot(known[:, 0], known[:, 1], "o", ms=3, mfc="none", color="black")
            axis.plot(
                shown["times"], shown["values"][:, 0], ".", ms=4, color="black", label="observed"
            )
        there = np.isfinite(shown["values"][:, 0])
        label = TRAININGS[kind]
        axis.plot(
            shown["times"][there], shown["mean"][there, 0], lw=1.4, color=COLOURS[kind], label=label
        )
    axis.axvline(0, color="black", lw=0.6)
    axis.set_xlabel("contexts since the origin")
    axis.set_ylabel("log of the first")
    axis.set_title("The first test series, the longest horizon")


def _driven(axis: Any, runs: list[dict[str, Any]]) -> None:
    """The 50 and 90 % intervals of one window of the first set that noise drives."""
    shown = [one for one in runs if one["case"][2] in DYNAMICS and one["examples"] is not None]
    shown = [one for one in shown if one["case"][0] == shown[0]["case"][0]]
    for one in shown:
        kind, example = one["case"][2], one["examples"]
        times, values = np.array(example["times"])[0], np.array(example["values"], float)[0, :, 0]
        low, inner, outer, high = np.array(example["quantiles"])[0, :, :, 0]
        there = np.isfinite(values)
        axis.fill_between(
            times[there], low[there], high[there], color=COLOURS[kind], alpha=0.18, lw=0
        )
        for edge in (inner, outer):
            axis.plot(times[there], edge[there], lw=1, color=COLOURS[kind])
        axis.plot([], [], color=COLOURS[kind], label=f"{DYNAMICS[kind]}: 50 and 90 %")
        if one is shown[-1]:
            known = np.array(example["known"], float)[0]
            axis.plot(known[:, 0], known[:, 1], "o", ms=3, mfc="none", color="black")
            axis.plot(times, values, ".", ms=5, color="black", label="observed")
            axis.set_title(f"{SETS[one['case'][0]].capitalize()}: forecasts of a test window")
    axis.axvline(0, color="black", lw=0.6)
    axis.set_xlabel("contexts since the origin")


def _coverage(axis: Any, runs: list[dict[str, Any]]) -> None:
    """What share of the observations lies within central intervals, against what should."""
    axis.plot([0, 1], [0, 1], color="black", lw=0.6)
    styles = dict(zip(SETS, ("-", "-", "--"), strict=True))
    for data, style in styles.items():
        for kind, title in DYNAMICS.items():
            found = [one["coverage"] for one in runs if one["case"][::2] == [data, kind]]
            if found:
                mean = np.mean(found, axis=0)
                label = f"{SETS[data]}, {title}"
                axis.plot(LEVELS, mean, f"o{style}", ms=4, color=COLOURS[kind], label=label)
    axis.set_xlabel("central interval")
    axis.set_ylabel("observations within")
    axis.set_title("Calibration")
