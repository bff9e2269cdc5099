"""The picture of the README: a forecast of each of a few series, and what was observed later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from isocline.data import SeriesTable
from isocline.errors import InputError

from .axes import dots, dress, forecast_band, observations, time_axis, upright, value_axis
from .bands import Band, bands
from .choosing import evenly
from .panels import Subject
from .svg import LIGHT, settings
from .words import moment, name_of

if TYPE_CHECKING:
    import pandas

_HISTORY = 5.0  # horizons
_SERIES = 3  # that are shown if none are named
_ROOM = 0.14  # above the values, as a share of their range


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
    """Forecasts of a backtest, each from the origin after which most was observed.

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
    found = _chosen(bands(backtest, table), series, channel)
    by_name = {one.name: one for one in table.series}
    titles = titles or {}
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=size, dpi=160, facecolor=LIGHT["paper"])
        for index, (name, band) in enumerate(found.items()):
            axes = figure.add_subplot(len(found), 1, index + 1)
            dress(axes, LIGHT)
            _draw(axes, Subject(table, by_name[name], channel), band)
            title = name_of(titles.get(name, name))
            axes.set_title(title, loc="left", fontsize=11, color=LIGHT["ink"], pad=5)
            axes.set_ylabel(unit or channel, color=LIGHT["muted"], fontsize=10)
        figure.align_ylabels()
        _legend(figure)
        height = size[1]
        figure.subplots_adjust(0.075, 0.38 / height, 0.985, 1 - 0.72 / height, hspace=0.55)
    return figure


def _chosen(
    tested: dict[tuple[str, str], Band], series: Sequence[str] | None, channel: str
) -> dict[str, Band]:
    """The bands of the channel of those series, or of three of all."""
    found = {name: band for (name, part), band in tested.items() if part == channel}
    names = evenly(list(found), _SERIES) if series is None else list(series)
    if not names:
        raise InputError(f"The backtest has no forecast of channel {channel!r}.")
    for name in names:
        if name not in found:
            raise InputError(
                f"The backtest has no forecast of the series {name!r} of channel {channel!r}."
            )
    return {name: found[name] for name in names}


def _draw(axes: Axes, subject: Subject, band: Band) -> None:
    run = band.at(_telling(band))
    times, values, table = subject.series.times, subject.values, subject.table
    origin, last = float(run.origins[0]), float(run.times[-1])
    first = max(origin - _HISTORY * (last - origin), float(times[0]))
    shown = (times >= first) & (times <= origin)
    observations(axes, times[shown], values[shown], LIGHT["ink"])
    forecast_band(axes, run, LIGHT["model"])
    dots(axes, run.times, run["observed"], color=LIGHT["truth"], size=5.5, zorder=5)
    upright(axes, origin, LIGHT)
    axes.annotate(
        f"forecast from {moment(table, origin).split(' ')[0]}", (origin, 1), (-4, -3),
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top",
        color=LIGHT["muted"], fontsize=9,
    )  # fmt: skip
    time_axis(axes, table, first, last, most=9)
    value_axis(axes, np.concatenate([values[shown], run.drawn]), most=4)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + _ROOM * (high - low))  # for the note


def _telling(band: Band) -> float:
    """The earliest of the origins after which most was observed."""
    origins = np.unique(band.origins)
    seen = [int(np.isfinite(band.at(origin)["observed"]).sum()) for origin in origins]
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
