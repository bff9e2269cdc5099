"""The figure of the stays: what was read, what was hidden, and the curves of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .results import save_figure

SHOWN = {"HR": "heart rate, 1/min", "Temp": "temperature, °C", "GCS": "Glasgow coma scale"}
BLUE = "#0072B2"


def draw(out: Path, shown: dict[str, Any]) -> None:
    """A column for each stay, a row for each of three variables.

    Args:
        out: where physionet.png and physionet.svg go.
        shown: tables by name, each with the stays first and the variables of `SHOWN` last: `times`,
            `values`, `mask` and `hidden` of the rows; `mean`, `low` and `high` of the curves at
            `asked`. Stays without observations of these variables are left out.
    """
    from matplotlib.figure import Figure

    tables = {name: np.asarray(table) for name, table in shown.items()}
    full = np.all(np.any(tables["mask"], axis=1), axis=1)
    tables = {name: table[full] for name, table in tables.items()}
    stays = max(len(tables["times"]), 1)
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    axes = figure.subplots(len(SHOWN), stays, squeeze=False, sharex=True)
    for channel, title in enumerate(SHOWN.values()):
        for stay in range(len(tables["times"])):
            axis = axes[channel, stay]
            seen = tables["mask"][stay, :, channel].astype(bool)
            hidden = tables["hidden"][stay].astype(bool)
            asked = 48 * tables["asked"][stay]
            band = (tables[bound][stay, :, channel] for bound in ("low", "high"))
            axis.fill_between(asked, *band, color=BLUE, alpha=0.2, lw=0, label="90 % of the draws")
            axis.plot(asked, tables["mean"][stay, :, channel], color=BLUE, lw=1.5, label="mean")
            for part, style, label in (
                (seen & ~hidden, {"color": "black"}, "read"),
                (seen & hidden, {"mfc": "white", "mec": "#D55E00"}, "hidden"),
            ):
                times = 48 * tables["times"][stay, part]
                values = tables["values"][stay, part, channel]
                axis.plot(times, values, "o", ms=3.5, ls="", label=label, **style)
            axis.spines[["top", "right"]].set_visible(False)
            if stay == 0:
                axis.set_ylabel(title)
            if channel == 0:
                axis.set_title(f"test stay {stay + 1}", fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("hours since admission")
        axis.set_xticks(range(0, 49, 12))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    save_figure(figure, out, "physionet")
