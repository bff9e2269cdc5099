"""One panel for each series and channel: the forecast, and forecasts from past origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from isocline.data import Series, SeriesTable

from .axes import (
    Size,
    dots,
    drawn,
    fit_margins,
    forecast_band,
    new_axes,
    observations,
    time_axis,
    upright,
    value_axis,
)
from .bands import Band
from .choosing import apart
from .svg import ROLES, Panel
from .words import moment, name_of, number, percent

_HORIZONS, _FEWEST, _MOST = 6.0, 30, 400
_DENSE = 100


@dataclass(frozen=True)
class Subject:
    """What a panel is about: one channel of one series of a table."""

    table: SeriesTable
    series: Series
    channel: str

    @property
    def values(self) -> np.ndarray:
        """Of the channel, NaN where it was not observed."""
        return self.series.values[:, self.table.channels.index(self.channel)]


def forecast_panel(subject: Subject, band: Band, sizes: Sequence[Size], name: str) -> Panel:
    """The last part of what was observed, and the forecast."""
    times = subject.series.times
    last = float(times[-1])
    first = _beginning(times, float(band.times[-1]) - last)
    note = f"{_last_seen(subject)} {_last_forecast(subject.table, band)}"
    return _panel(subject, {last: band}, first, note, sizes, name)


def backtest_panel(
    subject: Subject, band: Band, sizes: Sequence[Size], name: str, *, horizon: float
) -> Panel:
    """Forecasts from a few origins, over what was then observed."""
    runs = {float(origin): band.at(origin) for origin in apart(band.origins, horizon)}
    first = max(min(runs) - 2 * horizon, float(subject.series.times[0]))
    return _panel(subject, runs, first, _hits(list(runs.values())), sizes, name)


def _panel(
    subject: Subject,
    runs: dict[float, Band],
    first: float,
    note: str,
    sizes: Sequence[Size],
    name: str,
) -> Panel:
    """What was observed from `first` on, and the forecasts by their origins."""
    title = name_of(subject.series.name)
    label = f"{title}, {subject.channel}: {note}"
    svgs = drawn(lambda size: _draw(subject, runs, first, size), sizes, name, label)
    if not subject.series.name:
        return Panel(name_of(subject.channel), svgs, note=note)
    return Panel(title, svgs, name_of(subject.channel), note)


def _draw(subject: Subject, runs: dict[float, Band], first: float, size: Size) -> Axes:
    times, values = subject.series.times, subject.values
    last = max(float(run.times[-1]) for run in runs.values())
    asked = np.concatenate([run.times for run in runs.values()])
    shown = (times >= first) & (times <= last)
    # What was forecast is drawn with the forecast, in a colour of its own.
    past = shown & ~np.isin(times, asked)
    axes = new_axes(size, ROLES)
    observations(axes, times[past], values[past], ROLES["ink"])
    for origin, run in runs.items():
        upright(axes, origin, ROLES)
        forecast_band(axes, run, ROLES["model"])
        size_of_dots = 4.6 if len(asked) < _DENSE else 2.8
        dots(axes, run.times, run["observed"], color=ROLES["truth"], size=size_of_dots, zorder=5)
    time_axis(axes, subject.table, min(first, *runs), last, most=9 if size.width > 600 else 5)
    value_axis(axes, np.concatenate([values[shown], *(run.drawn for run in runs.values())]))
    fit_margins(axes)
    return axes


def _beginning(times: np.ndarray, reach: float) -> float:
    """Where the history that is shown begins: its course is seen, and the forecast not shrunk."""
    if len(times) < 2:
        return float(times[0]) - max(reach, 1.0)
    spacing = float(np.median(np.diff(times)))
    wanted = float(times[-1]) - _HORIZONS * max(reach, spacing)
    wanted = min(wanted, float(times[-min(_FEWEST, len(times))]))
    return max(wanted, float(times[-min(_MOST, len(times))]), float(times[0]))


def _last_seen(subject: Subject) -> str:
    values = subject.values
    seen = np.flatnonzero(np.isfinite(values))
    if not len(seen):
        return "Never observed."
    when = moment(subject.table, float(subject.series.times[seen[-1]]))
    return f"Last observed {number(values[seen[-1]])} ({when})."


def _last_forecast(table: SeriesTable, band: Band) -> str:
    mean, low, high = (number(float(band[name][-1])) for name in ("mean", "q05", "q95"))
    when = moment(table, float(band.times[-1]))
    return f"Forecast {mean} ({when}), {percent(0.9)} between {low} and {high}."


def _hits(runs: list[Band]) -> str:
    seen = sum(int(np.isfinite(run["observed"]).sum()) for run in runs)
    if not seen:
        return "Nothing was observed after these origins."
    inside = sum(int(run.inside("q05", "q95").sum()) for run in runs)
    return f"{inside} of {seen} observed values lie in the {percent(0.9)} band."
