"""Axes of the report: margins that fit their labels, dates as dates, dots and bands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from isocline.data import SeriesTable

from .bands import Band
from .svg import ROLES, settings, to_svg
from .words import zone

_FONT = 10.5
_LETTER = 0.6 * _FONT
_GAP = 3.0  # median spacings, above which the line of observations is interrupted


@dataclass(frozen=True)
class Size:
    """Of a figure, in CSS pixels before it is scaled to its place; by itself a third of a page."""

    width: float = 340
    height: float = 200


HALF = Size(500, 260)
WIDE = Size(1100, 340)


def new_axes(size: Size, colours: Mapping[str, str]) -> Axes:
    """An empty figure with one set of axes."""
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(size.width / 72, size.height / 72), dpi=72)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        dress(axes, colours)
    return axes


def drawn(
    draw: Callable[[Size], Axes], sizes: Sequence[Size], name: str, label: str
) -> tuple[str, ...]:
    """The same figure as SVG in each of the sizes, for `Panel`."""
    return tuple(to_svg(draw(size), f"{name}-{index}", label) for index, size in enumerate(sizes))


def dress(axes: Axes, colours: Mapping[str, str]) -> None:
    """Light lines, no box."""
    axes.patch.set_visible(False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(colours["grid"])
    axes.tick_params(
        length=0, labelsize=_FONT, labelcolor=colours["muted"], color=colours["grid"], pad=5
    )
    axes.tick_params(axis="x", length=3)
    axes.grid(axis="y", color=colours["grid"], linewidth=0.7)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set(color=colours["muted"], fontsize=_FONT)


def fit_margins(axes: Axes) -> None:
    """Room for the labels of both axes, as long as they are."""
    figure = cast(Figure, axes.figure)
    with matplotlib.rc_context(settings()):
        ticks = _tick_labels(axes.yaxis)
        _tick_labels(axes.xaxis)  # only then the formatter knows its offset
        width, height = figure.get_size_inches() * 72
        longest = max((len(text) for text in ticks), default=0)
        left = (9 + _LETTER * max(longest, 2)) / width
        top = 20 if axes.yaxis.get_major_formatter().get_offset() else 9
        # A name of the axis, or the date that its ticks have in common, stands below the ticks.
        more = axes.get_xlabel() or axes.xaxis.get_major_formatter().get_offset()
        below = 38 if more else 22
        figure.subplots_adjust(left, below / height, 1 - 12 / width, 1 - top / height)


def _tick_labels(axis: Axis) -> list[str]:
    low, high = sorted(axis.get_view_interval())
    shown = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    return axis.get_major_formatter().format_ticks(shown)


def value_axis(axes: Axes, values: np.ndarray, *, most: int = 5) -> None:
    """Limits around all finite values, and ticks without a hidden offset."""
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)
    axes.yaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_powerlimits((-4, 6))
    axes.yaxis.set_major_formatter(formatter)


def time_axis(axes: Axes, table: SeriesTable, first: float, last: float, *, most: int = 5) -> None:
    """Limits, and ticks as dates in the table's time zone, or as numbers."""
    room = 0.015 * (last - first) or 1.0
    axes.set_xlim(first - room, last + room)
    if table.axis.kind == "number":
        plain_axis(axes, most)
        return
    where: tzinfo | None = zone(table.axis)
    with matplotlib.rc_context({"date.epoch": "1970-01-01T00:00:00", "timezone": "UTC"}):
        locator = AutoDateLocator(tz=where, minticks=2, maxticks=most)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=where))


def plain_axis(axes: Axes, most: int = 6) -> None:
    """Numbers along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    formatter = ScalarFormatter(useOffset=False)
    formatter.set_powerlimits((-4, 7))
    axes.xaxis.set_major_formatter(formatter)


def label_bottom(axes: Axes, text: str) -> None:
    """Numbers along the bottom, and what they are."""
    plain_axis(axes)
    axes.set_xlabel(text, color=ROLES["muted"], fontsize=_FONT, labelpad=3)
    fit_margins(axes)


def upright(axes: Axes, where: float, colours: Mapping[str, str]) -> None:
    """A dashed line that marks a time, or an epoch."""
    axes.axvline(where, color=colours["muted"], linewidth=0.8, linestyle=(0, (2, 2)))


def dots(
    axes: Axes, x: np.ndarray, y: np.ndarray, *, color: str, size: float = 3.6, zorder: float = 3
) -> None:
    """Round dots as one path of tiny strokes: a tenth of the bytes of markers."""
    seen = np.isfinite(x) & np.isfinite(y)
    if not seen.any():
        return
    corners = np.repeat(np.stack([x[seen], y[seen]], axis=1), 2, axis=0)
    # Pixel formats leave out a stroke of no length at all, so each has a length that nobody sees.
    corners[1::2, 0] += 64 * np.spacing(np.abs(corners[:, 0]).max())
    path = Path(corners, np.tile([Path.MOVETO, Path.LINETO], int(seen.sum())))
    path.should_simplify = False
    patch = PathPatch(
        path,
        fill=False,
        edgecolor=color,
        linewidth=size,
        capstyle="round",
        zorder=zorder,
        snap=False,
    )
    axes.add_patch(patch)


def observations(axes: Axes, times: np.ndarray, values: np.ndarray, color: str) -> None:
    """What was observed: dots, and a line that stops where nothing was observed for long."""
    seen = np.isfinite(values)
    times, values = times[seen], values[seen]
    if not len(times):
        return
    gaps = np.diff(times)
    broken = np.flatnonzero(gaps > _GAP * np.median(gaps)) + 1 if len(gaps) else []
    line_times, line = np.insert(times, broken, np.nan), np.insert(values, broken, np.nan)
    axes.plot(line_times, line, color=color, linewidth=0.9, alpha=0.45, zorder=2.5)
    dots(axes, times, values, color=color, size=3.4 if len(times) < 150 else 2.6)


def forecast_band(axes: Axes, band: Band, color: str) -> None:
    """Mean and both bands; one time alone gets bars."""
    alone = len(band) == 1
    for low, high, alpha, width in (("q05", "q95", 0.20, 3), ("q25", "q75", 0.36, 7)):
        ends = band.times, band[low], band[high]
        if alone:
            axes.vlines(*ends, color=color, alpha=alpha, linewidth=width, zorder=2)
        else:
            axes.fill_between(*ends, color=color, alpha=alpha, linewidth=0, zorder=2)
    axes.plot(band.times, band["mean"], color=color, linewidth=1.8, zorder=4)
    if alone:
        dots(axes, band.times, band["mean"], color=color, size=6, zorder=4)
