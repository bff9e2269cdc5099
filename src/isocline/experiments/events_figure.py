"""The figure of `events`: the rate of an unknown stay, and of some whose samples are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .results import save_figure

LINE, MARK = "#0072B2", "#D55E00"


def draw(out: Path, shown: dict[str, Any]) -> None:
    """Write events.png and events.svg.

    Args:
        out: the folder.
        shown: of the first seed, `hours` and rates at them, and the samples of some stays.
    """
    from matplotlib.figure import Figure

    hours, stays = np.array(shown["hours"]), list(zip(shown["samples"], shown["rates"]))
    figure = Figure(figsize=(10, 6), layout="constrained")
    grid = figure.add_gridspec(len(stays), 2)
    whole = figure.add_subplot(grid[:, 0])
    cells = np.linspace(0, hours[-1], len(shown["mean"]) + 1)
    seen = np.array(shown["mean"]) / shown["stays"] / np.diff(cells)
    whole.stairs(seen, cells, fill=True, color="#dddddd", label="test stays, mean")
    whole.plot(hours, shown["unknown"], color=LINE, label="latent ODE, unknown stay")
    whole.set(xlabel="hours since admission", ylabel="samples an hour", ylim=(0, None))
    whole.legend(frameon=False)
    axes = [figure.add_subplot(grid[row, 1]) for row in range(len(stays))]
    for axis, (samples, rate) in zip(axes, stays, strict=True):
        axis.plot(hours, rate, color=LINE)
        axis.plot(samples, np.zeros(len(samples)), "|", ms=14, color=MARK, clip_on=False)
        axis.set(xlim=(0, hours[-1]), ylim=(0, 1.15 * max(rate)))
        axis.set_title(f"{len(samples)} samples", fontsize=9, loc="left")
        axis.tick_params(labelbottom=axis is axes[-1])
    axes[-1].set_xlabel("hours since admission")
    save_figure(figure, out, "events")
