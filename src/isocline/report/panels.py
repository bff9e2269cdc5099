"""One panel for each series and channel: the forecast, and forecasts from past origins."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from isocline.data import Series, SeriesTable

from .axes import Size, fit_margins, forecast_band, new_axes, observations, time_axis, value_axis
from .axes import dots as draw_dots
from .bands import Band
from .choosing import apart
from .svg import ROLES, to_svg
from .words import moment, name_of, number

_HORIZONS, _FEWEST, _MOST = 6.0, 30, 400


def forecast_panel(
    table: SeriesTable, one: Series, channel: str, band: Band | None, size: Size, name: str
) -> dict[str, Any]:
    """The last part of what was observed, and the forecast."""
    values = one.values[:, table.channels.index(channel)]
    reach = float(band.times[-1] - one.times[-1]) if band is not None and len(band) else 0.0
    first = _beginning(one.times, reach)
    last = max(float(one.times[-1]) + reach, first)
    shown = one.times >= first
    axes = new_axes(size, ROLES)
    observations(axes, one.times[shown], values[shown], ROLES["ink"])
    parts = [values[shown]]
    if band is not None:
        forecast_band(axes, band, ROLES["model"])
        parts += [band.mean, *band.quantiles.values()]
    axes.axvline(one.times[-1], color=ROLES["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
    _finish(axes, table, np.concatenate(parts), (first, last), size)
    said = _last_seen(table, one.times, values)
    ahead = _ends(table, band)
    label = f"{name_of(one.name)}, {channel}: {said} {ahead}"
    return {
        "title": name_of(one.name) if one.name else channel,
        "channel": channel if one.name else "",
        "note": f"{said} {ahead}",
        "svg": to_svg(axes.figure, name, label),
    }


def backtest_panel(
    table: SeriesTable, one: Series, channel: str, band: Band, size: Size, name: str, horizon: float
) -> dict[str, Any] | None:
    """Forecasts from a few origins, over what was then observed."""
    origins = apart(band.origins, horizon)
    if not len(origins):
        return None
    values = one.values[:, table.channels.index(channel)]
    runs = [band.at(origin) for origin in origins]
    last = max(float(run.times[-1]) for run in runs)
    first = min(origins[0] - 2 * horizon, float(runs[0].times[0]))
    shown = (one.times >= first) & (one.times <= last)
    asked = np.concatenate([run.times for run in runs])
    past = shown & ~np.isin(one.times, asked)
    axes = new_axes(size, ROLES)
    line = np.where(shown, values, np.nan)
    observations(axes, one.times[past], line[past], ROLES["ink"])
    parts = [values[shown]]
    for origin, run in zip(origins, runs, strict=True):
        axes.axvline(origin, color=ROLES["muted"], linewidth=0.8, linestyle=(0, (2, 2)))
        forecast_band(axes, run, ROLES["model"])
        draw_dots(axes, run.times, run.observed, color=ROLES["truth"], size=4.6, zorder=5)
        parts += [run.mean, run.observed, *run.quantiles.values()]
    first = max(first, float(one.times[0]))
    _finish(axes, table, np.concatenate(parts), (min(first, origins[0]), last), size)
    note = _hits(runs)
    label = f"{name_of(one.name)}, {channel}: forecasts from {len(origins)} past origins. {note}"
    return {
        "title": name_of(one.name) if one.name else channel,
        "channel": channel if one.name else "",
        "note": note,
        "svg": to_svg(axes.figure, name, label),
    }


def _beginning(times: np.ndarray, reach: float) -> float:
    """Where the history that is shown begins: long enough to see its course, and not the forecast shrunk."""
    if len(times) < 2:
        return float(times[0]) - max(reach, 1.0)
    spacing = float(np.median(np.diff(times)))
    wanted = float(times[-1]) - _HORIZONS * max(reach, spacing)
    wanted = min(wanted, float(times[-min(_FEWEST, len(times))]))
    return max(wanted, float(times[-min(_MOST, len(times))]), float(times[0]))


def _finish(axes: Axes, table: SeriesTable, values: np.ndarray, ends: tuple[float, float], size: Size) -> None:
    time_axis(axes, table, *ends, most=9 if size.width > 600 else 5)
    value_axis(axes, values)
    fit_margins(axes)


def _last_seen(table: SeriesTable, times: np.ndarray, values: np.ndarray) -> str:
    seen = np.flatnonzero(np.isfinite(values))
    if not len(seen):
        return "Never observed."
    return f"Last observed {number(values[seen[-1]])} ({moment(table, float(times[seen[-1]]))})."


def _ends(table: SeriesTable, band: Band | None) -> str:
    if band is None or not len(band):
        return "Not asked for."
    low, high = band.quantiles["q05"][-1], band.quantiles["q95"][-1]
    return (
        f"Forecast {number(float(band.mean[-1]))} ({moment(table, float(band.times[-1]))}), "
        f"90 % between {number(float(low))} and {number(float(high))}."
    )


def _hits(runs: list[Band]) -> str:
    observed = np.concatenate([run.observed for run in runs])
    inside = [
        (run.observed >= run.quantiles["q05"]) & (run.observed <= run.quantiles["q95"]) for run in runs
    ]
    seen = int(np.isfinite(observed).sum())
    if not seen:
        return "Nothing was observed after these origins."
    return f"{int(np.concatenate(inside).sum())} of {seen} observed values lie in the 90 % band."
