"""How errors and bands change with the lead time, the time from origin to forecast."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes

from isocline.data import SeriesTable

from .axes import HALF, Size, dots, drawn, label_bottom, new_axes, value_axis
from .bands import Band, joined, seen_by_channel
from .choosing import evenly
from .svg import ROLES, Panel
from .words import label_of, name_of, number, percent, unit_of

Name = TypeVar("Name")

_SIZES = (HALF, Size())
_MOST = 6
_BINS, _FEWEST_IN_BIN = 8, 12
_DASHES = {
    "model": "-",
    "persistence": (0, (1, 1.6)),
    "seasonal_naive": (0, (5, 2)),
    "climatology": (0, (5, 1.5, 1, 1.5)),
    "linear": (0, (3, 1.5)),
    "gru": (0, (9, 2)),
}


def lead_section(table: SeriesTable, past: dict[tuple[str, str], Band]) -> dict[str, Any]:
    """RMSE of each channel, with the baselines where the backtest has them, and coverage."""
    axis = f"lead time ({unit_of(table)})"
    seen = seen_by_channel(past)
    panels, methods = [], {}
    for index, channel in enumerate(evenly([one for one in table.channels if one in seen], _MOST)):
        leads, squares = by_lead(seen[channel].lead, seen[channel].squared_errors())
        errors = {name: np.sqrt(values) for name, values in squares.items()}
        methods |= dict.fromkeys(errors)
        panels.append(_error_panel(leads, errors, name_of(channel), axis, f"lead-{index}"))
    if seen:
        panels.append(_coverage_panel(joined(list(seen.values())), axis))
    legend = [{"method": name, "label": label_of(name)} for name in methods]
    return {"panels": panels, "legend": legend if len(legend) > 1 else []}


def by_lead(
    lead: np.ndarray, columns: dict[Name, np.ndarray]
) -> tuple[np.ndarray, dict[Name, np.ndarray]]:
    """Mean lead times of bins with about equally many rows, and means of the columns in them."""
    wanted = int(np.clip(len(lead) // _FEWEST_IN_BIN, 1, _BINS))
    inner = np.unique(np.quantile(lead, np.linspace(0, 1, wanted + 1)[1:-1]))
    # A bin reaches up to its upper edge and includes it; one without a row is left out.
    place = np.searchsorted(inner, lead, side="left")
    rows = [place == index for index in np.unique(place)]
    means = {
        name: np.array([values[row].mean() for row in rows]) for name, values in columns.items()
    }
    return np.array([lead[row].mean() for row in rows]), means


def _error_panel(
    leads: np.ndarray, errors: dict[str, np.ndarray], channel: str, axis: str, name: str
) -> Panel:
    def draw(size: Size) -> Axes:
        axes = new_axes(size, ROLES)
        for method, values in errors.items():
            color, width, above = ROLES[method], *((2.4, 3) if method == "model" else (1.5, 4))
            line = {"color": color, "linestyle": _DASHES[method], "linewidth": width}
            axes.plot(leads, values, zorder=above, **line)
            dots(axes, leads, values, color=color, size=2.5 * width, zorder=above)
        value_axis(axes, np.concatenate([[0.0], *errors.values()]))
        axes.set_ylim(bottom=0)
        label_bottom(axes, axis)
        return axes

    ends = "; ".join(
        f"{label_of(method)} from {number(float(values[0]))} to {number(float(values[-1]))}"
        for method, values in errors.items()
    )
    label = f"RMSE of {channel} by lead time: {ends}."
    return Panel(f"RMSE of {channel}", drawn(draw, _SIZES, name, label))


def _coverage_panel(band: Band, axis: str) -> Panel:
    """The share of observations inside of the bands by lead time, beside what it should be."""
    inside = {0.9: band.inside("q05", "q95"), 0.5: band.inside("q25", "q75")}
    leads, shares = by_lead(band.lead, inside)

    def draw(size: Size) -> Axes:
        axes = new_axes(size, ROLES)
        for nominal, share in shares.items():
            axes.axhline(100 * nominal, color=ROLES["muted"], linewidth=1, linestyle=(0, (2, 2)))
            width = 2.4 if nominal > 0.7 else 1.5
            axes.plot(leads, 100 * share, color=ROLES["model"], linewidth=width)
            dots(axes, leads, 100 * share, color=ROLES["model"], size=6)
        axes.set_ylim(0, 102)
        axes.set_yticks([0, 25, 50, 75, 90, 100])
        axes.yaxis.set_major_formatter("{x:.0f} %")
        label_bottom(axes, axis)
        return axes

    ranges = "; ".join(
        f"{percent(nominal)} band from {percent(float(share.min()))} to "
        f"{percent(float(share.max()))}"
        for nominal, share in shares.items()
    )
    label = f"Share of observations inside of the bands by lead time: {ranges}."
    return Panel("Observations inside of the bands", drawn(draw, _SIZES, "lead-bands", label))
