"""The figure of the hopper: what was read, the truth, and the curves of the model in both tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isocline.data.hopper import STEP

from .hopper_tracks import WINDOW
from .results import save_figure

SHOWN = {
    "rootz": "height, m",
    "rooty": "angle of the trunk, rad",
    "knee": "angle of the knee, rad",
    "rooty velocity": "turn of the trunk, rad/s",
}
CURVES = 2  # of each task
BLUE = "#0072B2"


def draw(out: Path, shown: dict[str, dict[str, Any]]) -> None:
    """A column for each trajectory of each task, a row for each of four channels.

    Args:
        out: where hopper.png and hopper.svg go.
        shown: by task, tables by name, each with the trajectories first and the channels of `SHOWN`
            last: `times`, `values` and `mask` of what was read; at the times `asked`, in windows
            since that of the latent state, the `truth`, the `mean` and the `spread`, half the width
            of the band that is to hold 90 %.
    """
    from matplotlib.figure import Figure

    columns = [(task, curve) for task in shown for curve in range(CURVES)]
    figure = Figure(figsize=(11.2, 8.0), layout="constrained")
    axes = figure.subplots(len(SHOWN), len(columns), squeeze=False, sharex="col")
    for column, (task, curve) in enumerate(columns):
        tables = {name: np.asarray(table)[curve] for name, table in shown[task].items()}
        read = tables["mask"].astype(bool)
        # Seconds since the first point that may be read.
        first = 0 if task == "interpolation" else WINDOW - 1
        at, asked = (STEP * (WINDOW * tables[name] + first) for name in ("times", "asked"))
        for channel, title in enumerate(SHOWN.values()):
            axis = axes[channel, column]
            truth, mean, spread = (tables[name][:, channel] for name in ("truth", "mean", "spread"))
            band = {"color": BLUE, "alpha": 0.2, "lw": 0, "label": "90 % band"}
            axis.fill_between(asked, mean - spread, mean + spread, **band)
            axis.plot(asked, truth, color="black", lw=4, alpha=0.22, label="truth")
            axis.plot(asked, mean, color=BLUE, lw=1.5, label="mean")
            axis.plot(at[read], tables["values"][read, channel], "k.", ms=7, label="read")
            axis.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axis.set_ylabel(title)
        axes[0, column].set_title(f"{task}, test trajectory {curve + 1}", fontsize=10)
        axes[-1, column].set_xlabel("seconds")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    save_figure(figure, out, "hopper")
