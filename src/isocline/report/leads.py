"""How errors and bands change with the lead time, the time from origin to forecast."""

from __future__ import annotations

from typing import Any

import numpy as np

from isocline.data import SeriesTable

from .axes import Size, dots, label_bottom, new_axes, value_axis
from .bands import BASELINES, Band, joined
from .choosing import evenly
from .svg import ROLES, Panel, to_svg
from .words import label_of, name_of, number, unit_of

_SIZE = Size(440, 270)
_MOST_CHANNELS = 6
_BINS, _FEWEST_IN_BIN = 8, 12
_DASHES = {
    "model": "-",
    "persistence": (0, (1, 1.6)),
    "seasonal_naive": (0, (5, 2)),
    "climatology": (0, (5, 1.5, 1, 1.5)),
    "gru": (0, (9, 2)),
}


def lead_section(table: SeriesTable, past: dict[tuple[str, str], Band]) -> dict[str, Any]:
    """RMSE of each channel, with the baselines where the backtest has them, and coverage."""
    axis = f"lead time ({unit_of(table)})"
    seen = {key: band.where(np.isfinite(band["observed"])) for key, band in past.items()}
    seen = {key: band for key, band in seen.items() if len(band)}
    panels, methods = [], []
    for index, channel in enumerate(evenly(table.channels, _MOST_CHANNELS)):
        found = [band for (_, part), band in seen.items() if part == channel]
        if found:
            leads, errors = _errors(joined(found))
            methods += [name for name in errors if name not in methods]
            panels.append(_error_panel(leads, errors, name_of(channel), axis, f"lead-{index}"))
    if seen:
        panels.append(_coverage_panel(joined(list(seen.values())), axis))
    legend = [{"method": name, "label": label_of(name)} for name in methods]
    return {"panels": panels, "legend": legend if len(legend) > 1 else []}


def by_lead(
    lead: np.ndarray, columns: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
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


def _errors(band: Band) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """RMSE by lead time of the model, and of baselines that have a forecast for every row."""
    predicted = {"model": band["mean"]}
    predicted |= {name: band[name] for name in BASELINES if name in band.columns}
    squares = {name: (values - band["observed"]) ** 2 for name, values in predicted.items()}
    whole = {
        name: values
        for name, values in squares.items()
        if name == "model" or np.isfinite(values).all()
    }
    leads, means = by_lead(band.lead, whole)
    return leads, {name: np.sqrt(values) for name, values in means.items()}


def _error_panel(
    leads: np.ndarray, errors: dict[str, np.ndarray], channel: str, axis: str, name: str
) -> Panel:
    axes = new_axes(_SIZE, ROLES)
    for method, values in errors.items():
        width, above = (2.4, 4) if method == "model" else (1.5, 3)
        axes.plot(
            leads, values, color=ROLES[method], linestyle=_DASHES[method], linewidth=width,
            zorder=above,
        )  # fmt: skip
        dots(axes, leads, values, color=ROLES[method], size=2.5 * width, zorder=above)
    value_axis(axes, np.concatenate([[0.0], *errors.values()]))
    axes.set_ylim(bottom=0)
    label_bottom(axes, axis)
    ends = "; ".join(
        f"{label_of(method)} from {number(float(values[0]))} to {number(float(values[-1]))}"
        for method, values in errors.items()
    )
    svg = to_svg(axes.figure, name, f"RMSE of {channel} by lead time: {ends}.")
    return Panel(f"RMSE of {channel}", (svg,))


def _coverage_panel(band: Band, axis: str) -> Panel:
    """The share of observations inside of the bands by lead time, beside what it should be."""
    inside = {0.9: band.inside("q05", "q95"), 0.5: band.inside("q25", "q75")}
    leads, shares = by_lead(band.lead, {str(nominal): rows for nominal, rows in inside.items()})
    axes = new_axes(_SIZE, ROLES)
    said = []
    for nominal in inside:
        share = shares[str(nominal)]
        axes.axhline(100 * nominal, color=ROLES["muted"], linewidth=1, linestyle=(0, (2, 2)))
        axes.plot(leads, 100 * share, color=ROLES["model"], linewidth=2.4 if nominal > 0.7 else 1.5)
        dots(axes, leads, 100 * share, color=ROLES["model"], size=6)
        said.append(f"{nominal:.0%} band from {share.min():.0%} to {share.max():.0%}")
    axes.set_ylim(0, 102)
    axes.set_yticks([0, 25, 50, 75, 90, 100])
    axes.yaxis.set_major_formatter("{x:.0f} %")
    label_bottom(axes, axis)
    label = f"Share of observations inside of the bands by lead time: {'; '.join(said)}."
    return Panel("Observations inside of the bands", (to_svg(axes.figure, "lead-bands", label),))
