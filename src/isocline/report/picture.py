"""The picture of the README: a few series, a forecast from a past origin, and what was observed later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from isocline.data import Series, SeriesTable
from isocline.errors import InputError

from .axes import dots, dress, forecast_band, observations, time_axis, value_axis
from .bands import Band, bands
from .choosing import evenly
from .svg import LIGHT, settings
from .words import moment, name_of

if TYPE_CHECKING:
    import pandas

_HISTORY = 5.0  # horizons


def forecast_figure(
    table: SeriesTable,
    backtest: pandas.DataFrame,
    *,
    series: Sequence[str] | None = None,
    channel: str | None = None,
    titles: dict[str, str] | None = None,
    unit: str = "",
    size: tuple[float, float] = (9.6, 5.6),
) -> Figure:
    """Forecasts of a backtest, each from the earliest origin of its series with the most to compare with.

    Args:
        table: the data.
        backtest: the frame of a `Backtest`, or backtest.csv as text.
        series: which ones; three, evenly chosen from those with a backtest, if not given.
        channel: the first if not given.
        titles: shown instead of the names of series.
        unit: of the values.
        size: in inches.

    Raises:
        InputError: a series or channel has no backtest.
    """
    channel = channel or table.channels[0]
    found = {name: band for (name, part), band in bands(backtest, table).items() if part == channel}
    names = list(series) if series else evenly(list(found), 3)
    unknown = [name for name in names if name not in found]
    if unknown or not names:
        of = f"the series {unknown[0]!r} of " if unknown else ""
        raise InputError(f"The backtest has no forecast of {of}channel {channel!r}.")
    by_name = {one.name: one for one in table.series}
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=size, dpi=160, facecolor=LIGHT["paper"])
        for index, name in enumerate(names):
            axes = figure.add_subplot(len(names), 1, index + 1)
            dress(axes, LIGHT)
            _draw(axes, table, by_name[name], channel, found[name])
            axes.set_title(
                name_of((titles or {}).get(name, name)), loc="left", fontsize=11, color=LIGHT["ink"], pad=5
            )
            axes.set_ylabel(unit or channel, color=LIGHT["muted"], fontsize=10)
        figure.align_ylabels()
        _legend(figure)
        height = size[1]
        figure.subplots_adjust(0.075, 0.38 / height, 0.985, 1 - 0.72 / height, hspace=0.55)
    return figure


def _draw(axes, table: SeriesTable, one: Series, channel: str, band: Band) -> None:
    run = band.at(_telling(band))
    origin, last = float(run.origins[0]), float(run.times[-1])
    values = one.values[:, table.channels.index(channel)]
    first = max(origin - _HISTORY * (last - origin), float(one.times[0]))
    shown = (one.times >= first) & (one.times <= origin)
    observations(axes, one.times[shown], values[shown], LIGHT["ink"])
    forecast_band(axes, run, LIGHT["model"])
    dots(axes, run.times, run.observed, color=LIGHT["truth"], size=5.5, zorder=5)
    axes.axvline(origin, color=LIGHT["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
    axes.annotate(
        f"forecast from {moment(table, origin).split(' ')[0]}", (origin, 1), (-4, -3), color=LIGHT["muted"],
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top", fontsize=9,
    )  # fmt: skip
    time_axis(axes, table, first, last, most=9)
    value_axis(axes, np.concatenate([values[shown], run.observed, run.mean, *run.quantiles.values()]), most=4)


def _telling(band: Band) -> float:
    """The earliest of the origins after which most was observed."""
    origins = np.unique(band.origins)
    seen = [int(np.isfinite(band.at(origin).observed).sum()) for origin in origins]
    return float(origins[int(np.argmax(seen))])


def _legend(figure: Figure) -> None:
    def point(color: str, label: str) -> Line2D:
        return Line2D([], [], color=color, marker="o", markersize=4, linestyle="", label=label)

    model = LIGHT["model"]
    figure.legend(
        handles=[
            point(LIGHT["ink"], "observed"),
            Line2D([], [], color=model, linewidth=2, label="forecast"),
            Patch(color=model, alpha=0.48, linewidth=0, label="50 % band"),
            Patch(color=model, alpha=0.20, linewidth=0, label="90 % band"),
            point(LIGHT["truth"], "observed later"),
        ],
        loc="upper left", bbox_to_anchor=(0.06, 1.0), ncols=5, frameon=False, fontsize=10,
        labelcolor=LIGHT["ink"], handlelength=1.6, columnspacing=1.8,
    )  # fmt: skip
