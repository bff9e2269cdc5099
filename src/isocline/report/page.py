"""The page itself: chooses what is shown, and fills the template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from isocline.data import SeriesTable

from . import tables
from .axes import HALF, WIDE, Size
from .bands import Band, bands
from .choosing import MOST_BACKTESTS, MOST_PANELS, evenly, pairs
from .diagnostics import latent_panels, training_panels
from .leads import lead_section
from .panels import Subject, backtest_panel, forecast_panel
from .rendering import rendered
from .svg import Panel
from .words import count, listed, moment, name_of, span, unit_of

if TYPE_CHECKING:
    import pandas

    # Only for its type: it would bring JAX along.
    from isocline.estimators import Backtest

# By the number of panels where three in a row would not do: the class of the grid, and the sizes.
# A panel that is wider than a third of the page is drawn once more for narrow screens.
_LAYOUTS: dict[int, tuple[str, tuple[Size, ...]]] = {
    1: ("wide", (WIDE, Size())),
    2: ("wide", (WIDE, Size())),
    4: ("two", (HALF, Size())),
}
_MOST_NAMED = 4


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
    """One HTML page about a forecast. It needs nothing else: no network, scripts or other files.

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
    tested = partial(backtest_panel, horizon=float(forecaster.horizon_))
    parts = {
        "title": _title(table),
        "lead": _lead(table, ahead),
        "verdict": tables.verdict(metrics),
        "coverage": tables.coverage_sentence(metrics),
        "cards": tables.cards(metrics, robustness),
        "forecasts": _multiples(table, ahead, MOST_PANELS, forecast_panel, "forecast"),
        "backtests": _multiples(table, past, MOST_BACKTESTS, tested, "backtest"),
        "leads": lead_section(table, past),
        "scores": tables.score_table(metrics),
        "channels": tables.channel_rows(metrics),
        "channel_errors": tables.channel_errors(table.channels, past),
        "several": len(table.channels) > 1,
        "robustness": tables.robustness_rows(robustness),
        "latent": _latent(forecaster),
        "training": training_panels(list(forecaster.history_ or ()), forecaster.best_epoch_),
        "data": tables.data_facts(table, source),
        "notes": table.notes,
        "series": tables.series_rows(table),
        "run": tables.run_facts(forecaster, metrics),
        "settings": tables.settings_rows(forecaster, metrics),
        "command": command,
    }
    return rendered("page.html", parts)


def _title(table: SeriesTable) -> str:
    what = count(len(table.channels), "channel")
    if len(table.channels) <= _MOST_NAMED:
        what = listed([name_of(channel) for channel in table.channels])
    if len(table.series) != 1:
        return f"Forecast of {what} for {len(table.series):,} series"
    name = table.series[0].name
    return f"Forecast of {what}" + (f" of {name_of(name)}" if name else "")


def _lead(table: SeriesTable, ahead: dict[tuple[str, str], Band]) -> str:
    """The times of the forecast."""
    if not ahead:
        return "No time was asked for."
    first = min(float(band.times[0]) for band in ahead.values())
    last = max(float(band.times[-1]) for band in ahead.values())
    ends = {one.name: float(one.times[-1]) for one in table.series}
    reach = max(float(band.times[-1]) - ends[name] for (name, _), band in ahead.items())
    when = moment(table, last)
    when = when if first == last else f"{moment(table, first)} to {when}"
    when = f"{unit_of(table)} {when}" if table.axis.kind == "number" else when
    return f"For {when}: up to {span(table, reach)} after the last observation."


def _multiples(
    table: SeriesTable,
    found: dict[tuple[str, str], Band],
    most: int,
    draw: Callable[[Subject, Band, Sequence[Size], str], Panel],
    name: str,
) -> dict[str, Any]:
    """Small multiples: a panel for each series and channel, or for so many of them."""
    by_name = {one.name: one for one in table.series}
    tested = {name for name, _ in found}
    names = [name for name in by_name if name in tested]
    chosen = [key for key in pairs(names, table.channels, most) if key in found]
    columns, sizes = _LAYOUTS.get(len(chosen), ("", (Size(),)))
    panels = [
        draw(Subject(table, by_name[key[0]], key[1]), found[key], sizes, f"{name}-{index}")
        for index, key in enumerate(chosen)
    ]
    return {"panels": panels, "columns": columns, "rest": _hidden(names, table.channels, chosen)}


def _hidden(
    names: Sequence[str], channels: Sequence[str], chosen: Sequence[tuple[str, str]]
) -> str:
    """How many series and channels are not shown; empty if none."""
    series = len(names) - len({name for name, _ in chosen})
    others = len(channels) - len({channel for _, channel in chosen})
    rest = [count(series, "series", "series")] if series else []
    return listed(rest + ([count(others, "channel")] if others and chosen else []))


def _latent(forecaster: Any) -> dict[str, Any]:
    paths = list(forecaster.latent().values())
    chosen = evenly(paths, MOST_PANELS)
    axis = f"time since the last observation ({unit_of(forecaster.table_)})"
    panels = latent_panels(chosen, axis)
    return {"panels": panels, "shown": len(chosen), "all": len(paths)}
