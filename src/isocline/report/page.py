"""The page itself: chooses what is shown, and fills the template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from isocline._version import __version__
from isocline.data import SeriesTable
from isocline.estimators import Backtest

from . import tables
from .axes import WIDE, Size
from .bands import Band, bands
from .choosing import MOST_BACKTESTS, MOST_PANELS, evenly, pairs
from .diagnostics import (
    coverage_figure,
    curves_by_lead,
    latent_figures,
    lead_figure,
    shares_by_lead,
    training_figures,
)
from .panels import backtest_panel, forecast_panel
from .words import count, label_of, moment, name_of, span

if TYPE_CHECKING:
    import pandas

_MOST_WIDE = 2
_MOST_CHANNELS = 6


def report_page(
    forecaster: Any,
    *,
    forecast: pandas.DataFrame,
    backtest: Backtest,
    robustness: Sequence[dict[str, Any]],
    metrics: dict[str, Any],
    command: str,
    source: str,
) -> str:
    """One HTML page about a forecast, which needs nothing else: no network, no scripts, no files beside it.

    The same arguments give the same bytes.

    Args:
        forecaster: a fitted `LatentODEForecaster`.
        forecast: what its `predict` gave.
        backtest: what its `backtest` gave.
        robustness: what its `robustness` gave; may be empty.
        metrics: as in metrics.json; scores may be missing.
        command: that made the forecast.
        source: name of the data.
    """
    table: SeriesTable = forecaster.table_
    ahead, past = bands(forecast, table), bands(backtest.frame, table)
    parts = {
        "version": __version__,
        "title": _title(table),
        "lead": _lead(table, ahead),
        "verdict": tables.verdict(metrics),
        "coverage": tables.coverage_sentence(metrics),
        "cards": tables.cards(metrics, robustness),
        "forecasts": _forecasts(table, ahead),
        "backtests": _backtests(table, past, float(forecaster.horizon_)),
        "leads": _leads(table, backtest.frame, past, metrics),
        "scores": tables.score_table(metrics),
        "channels": tables.channel_rows(metrics),
        "several": len(table.channels) > 1,
        "robustness": tables.robustness_rows(robustness),
        "latent": _latent(forecaster),
        "training": training_figures(list(forecaster.history_ or ()), forecaster.best_epoch_),
        "data": tables.data_facts(table, source),
        "notes": table.notes,
        "series": tables.series_rows(table),
        "run": tables.run_facts(forecaster, metrics),
        "settings": tables.settings_rows(forecaster, metrics),
        "command": command,
    }
    environment = Environment(
        loader=PackageLoader("isocline.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(parts)


def _title(table: SeriesTable) -> str:
    channels = [name_of(channel) for channel in table.channels]
    what = ", ".join(channels[:-1]) + " and " + channels[-1] if 1 < len(channels) <= 4 else channels[0]
    if len(channels) > 4:
        what = count(len(channels), "channel")
    if len(table.series) > 1:
        return f"Forecast of {what} for {len(table.series):,} series"
    name = table.series[0].name
    return f"Forecast of {what}" + (f" of {name_of(name)}" if name else "")


def _lead(table: SeriesTable, ahead: dict[tuple[str, str], Band]) -> str:
    asked = [band for band in ahead.values() if len(band)]
    if not asked:
        return "No time was asked for."
    first = min(float(band.times[0]) for band in asked)
    last = max(float(band.times[-1]) for band in asked)
    ends = {one.name: float(one.times[-1]) for one in table.series}
    reach = max(
        (float(band.times[-1]) - ends[key[0]] for key, band in ahead.items() if key[0] in ends and len(band)),
        default=0.0,
    )
    when = moment(table, last) if first == last else f"{moment(table, first)} to {moment(table, last)}"
    return f"{when}, up to {span(table, reach)} after the last observation."


def _forecasts(table: SeriesTable, ahead: dict[tuple[str, str], Band]) -> dict[str, Any]:
    by_name = {one.name: one for one in table.series}
    asked = {name for name, _ in ahead}
    names = [one.name for one in table.series if one.name in asked]
    chosen = pairs(names, table.channels, MOST_PANELS)
    panels = []
    for index, (name, channel) in enumerate(chosen):
        drawn = [
            forecast_panel(table, by_name[name], channel, ahead.get((name, channel)), size, f"f{index}{kind}")
            for kind, size in _sizes(len(chosen))
        ]
        panels.append(_both(drawn))
    return {"panels": panels, "wide": _is_wide(chosen), "rest": _rest(names, table.channels, chosen)}


def _backtests(table: SeriesTable, past: dict[tuple[str, str], Band], horizon: float) -> dict[str, Any]:
    by_name = {one.name: one for one in table.series}
    tested = {name for name, _ in past}
    names = [one.name for one in table.series if one.name in tested]
    chosen = [key for key in pairs(names, table.channels, MOST_BACKTESTS) if key in past]
    panels = []
    for index, key in enumerate(chosen):
        drawn = [
            backtest_panel(table, by_name[key[0]], key[1], past[key], size, f"b{index}{kind}", horizon)
            for kind, size in _sizes(len(chosen))
        ]
        panels += [_both([one for one in drawn if one])] if any(drawn) else []
    return {"panels": panels, "wide": _is_wide(chosen), "rest": _rest(names, table.channels, chosen)}


def _sizes(panels: int) -> list[tuple[str, Size]]:
    """A panel that has the width of the page is drawn once more for narrow screens."""
    return [("w", WIDE), ("n", Size())] if panels <= _MOST_WIDE else [("n", Size())]


def _is_wide(chosen: Sequence[Any]) -> bool:
    return 0 < len(chosen) <= _MOST_WIDE


def _both(drawn: list[dict[str, Any]]) -> dict[str, Any]:
    return drawn[0] | {"svgs": [one["svg"] for one in drawn]}


def _rest(names: Sequence[str], channels: Sequence[str], chosen: Sequence[tuple[str, str]]) -> str:
    """What is not shown, counted."""
    shown = {name for name, _ in chosen}
    left, hidden = len(names) - len(shown), len(channels) - len({channel for _, channel in chosen})
    parts = [count(left, "series", "series")] if left > 0 else []
    parts += [count(hidden, "channel")] if hidden > 0 and chosen else []
    return " and ".join(parts)


def _leads(
    table: SeriesTable, frame: Any, past: dict[tuple[str, str], Band], metrics: dict[str, Any]
) -> dict[str, Any]:
    """RMSE by lead time of each channel and, where the frame has their forecasts, of the baselines."""
    if not past:
        return {"figures": [], "legend": [], "baselines": False}
    baselines = [name for name in metrics.get("baselines") or {} if name in frame]
    unit = table.axis.unit or name_of(table.columns.time)
    axis = f"lead time ({unit})" if table.axis.unit else f"lead time (in {unit})"
    figures = []
    for index, channel in enumerate(evenly(table.channels, _MOST_CHANNELS)):
        rows = (frame["channel"].astype(str) == channel).to_numpy()
        lead, observed = _lead_and_observed(table, frame[rows])
        values = {"model": frame["mean"][rows].to_numpy(np.float64)}
        values |= {name: frame[name][rows].to_numpy(np.float64) for name in baselines}
        curves = curves_by_lead(lead, values, observed)
        if "model" in curves:
            figures.append(lead_figure(curves, axis, name_of(channel), f"lead-{index}"))
    shares = _shares(list(past.values()))
    if shares:
        figures.append(coverage_figure(shares, axis, "lead-coverage"))
    legend = [{"method": name, "label": label_of(name)} for name in ("model", *baselines)]
    return {"figures": figures, "legend": legend if baselines else [], "baselines": bool(baselines)}


def _lead_and_observed(table: SeriesTable, frame: Any) -> tuple[np.ndarray, np.ndarray]:
    from .bands import numbers_of

    if not len(frame):
        return np.empty(0), np.empty(0)
    lead = numbers_of(table, frame["time"]) - numbers_of(table, frame["origin"])
    return lead, frame["observed"].to_numpy(np.float64)


def _shares(found: list[Band]) -> dict[float, Any]:
    lead = np.concatenate([band.times - band.origins for band in found])
    observed = np.concatenate([band.observed for band in found])
    seen = np.isfinite(observed)
    if not seen.any():
        return {}
    shares = {}
    for nominal, low, high in ((0.9, "q05", "q95"), (0.5, "q25", "q75")):
        lower, upper = (np.concatenate([band.quantiles[name] for band in found]) for name in (low, high))
        shares[nominal] = shares_by_lead(lead, (observed >= lower) & (observed <= upper), seen)
    return shares


def _latent(forecaster: Any) -> dict[str, Any]:
    paths = forecaster.latent()
    chosen = evenly(list(paths.items()), MOST_PANELS)
    unit = forecaster.table_.axis.unit or f"in {name_of(forecaster.table_.columns.time)}"
    axis = f"time since the last observation ({unit})"
    figures = latent_figures([path for _, path in chosen], forecaster.table_, axis)
    return {"figures": figures, "shown": len(chosen), "rest": len(paths) - len(chosen)}
