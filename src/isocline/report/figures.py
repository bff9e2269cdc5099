"""The figures of a run: what was observed and forecast, how that went before, what happens within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import Series, SeriesTable

from .drawing import ACCENT, INK, LATER, MODEL, labels_of, new_figure, plain_times, shortened, styled, time_axis

if TYPE_CHECKING:
    import pandas

    from isocline.estimators import LatentODEForecaster

COLUMNS = 3
BANDS = (("q05", "q95", 0.18), ("q25", "q75", 0.32))


def panels_of(table: SeriesTable, most: int) -> list[tuple[Series, int]]:
    """Which series and channels are shown: all, or so many evenly spread over the table."""
    pairs = [(one, channel) for one in table.series for channel in range(len(table.channels))]
    if len(pairs) <= most:
        return pairs
    return [pairs[index] for index in np.linspace(0, len(pairs) - 1, most).round().astype(int)]


def forecast_figure(table: SeriesTable, forecast: pandas.DataFrame, horizon: float, most: int = 24) -> Any:
    """Small multiples: the last observations of each series and channel, the forecast and its bands.

    Args:
        table: the observations.
        forecast: as `predict` returns it.
        horizon: in units of the time axis; four of them are shown before the forecast.
        most: panels.
    """
    pairs = panels_of(table, most)
    rows = -(-len(pairs) // COLUMNS)
    with styled():
        figure = new_figure(9.6, 1.75 * rows + 0.4)
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis, (one, channel) in zip(axes, pairs, strict=False):
            _observed(axis, table, one, channel, one.times[-1] - 4 * horizon)
            name = table.channels[channel]
            part = forecast[(forecast["series"] == one.name) & (forecast["channel"] == name)]
            _band(axis, part)
            axis.set_title(shortened(_title(table, one.name, name)))
            time_axis(axis, table)
        for axis in axes[len(pairs) :]:
            axis.set_axis_off()
        _legend(figure, axes[0])
    return figure


def backtest_figure(table: SeriesTable, frame: pandas.DataFrame, most: int = 6) -> Any:
    """Forecasts from a few past origins, over what was then observed."""
    pairs = panels_of(table, most)
    origins = frame["origin"].drop_duplicates().sort_values()
    chosen = origins.iloc[np.unique(np.linspace(0, len(origins) - 1, 3).round().astype(int))]
    rows = -(-len(pairs) // 2)
    with styled():
        figure = new_figure(9.6, 2.2 * rows + 0.4)
        axes = figure.subplots(rows, 2, squeeze=False).ravel()
        for axis, (one, channel) in zip(axes, pairs, strict=False):
            name = table.channels[channel]
            mine = frame[(frame["series"] == one.name) & (frame["channel"] == name)]
            first = table.axis.to_number(plain_origin(mine["origin"])).min() if len(mine) else one.times[0]
            span = one.times[-1] - first
            _observed(axis, table, one, channel, first - span)
            for colour, origin in zip((MODEL, ACCENT, LATER), chosen, strict=False):
                part = mine[mine["origin"] == origin].sort_values("time")
                _band(axis, part, colour)
                if len(part):
                    axis.axvline(plain_times(part["origin"])[0], color=colour, lw=0.8, ls=":")
            axis.set_title(shortened(_title(table, one.name, name)))
            time_axis(axis, table)
        for axis in axes[len(pairs) :]:
            axis.set_axis_off()
    return figure


def plain_origin(column: Any) -> Any:
    """Origins as the time axis reads them: numbers, or dates in UTC without a zone."""
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy()


def lead_figure(table: SeriesTable, frame: pandas.DataFrame, horizon: float, bins: int = 8) -> Any:
    """RMSE and 90% coverage of the backtest by lead time, each channel in units of its own spread."""
    times = table.axis.to_number(plain_origin(frame["time"]))
    lead = times - table.axis.to_number(plain_origin(frame["origin"]))
    missed = (frame["mean"] - frame["observed"]).to_numpy(float)
    spread = frame.groupby("channel")["observed"].transform("std").to_numpy(float)
    one_channel = len(table.channels) == 1
    scaled = missed if one_channel else missed / np.where(spread > 0, spread, 1)
    inside = ((frame["observed"] >= frame["q05"]) & (frame["observed"] <= frame["q95"])).to_numpy(float)
    edges = np.linspace(0, horizon, bins + 1)
    middle, rmse, covered = [], [], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        here = (lead > low) & (lead <= high) & np.isfinite(missed)
        if here.any():
            middle.append((low + high) / 2)
            rmse.append(np.sqrt(np.mean(scaled[here] ** 2)))
            covered.append(inside[here].mean())
    unit = table.axis.unit or "units of time"
    with styled():
        figure = new_figure(9.6, 2.5)
        left, right = figure.subplots(1, 2)
        left.plot(middle, rmse, "o-", color=MODEL, ms=4)
        left.set(title="RMSE" + ("" if one_channel else ", in standard deviations"), xlabel=f"lead time ({unit})", ylim=(0, None))
        right.plot(middle, covered, "o-", color=MODEL, ms=4)
        right.axhline(0.9, color=INK, lw=0.8, ls=":")
        right.set(title="share inside the 90% interval", xlabel=f"lead time ({unit})", ylim=(0, 1.02))
    return figure


def latent_figure(forecaster: LatentODEForecaster, most: int = 8) -> Any:
    """The latent state's components over the horizon, a line a series."""
    paths = forecaster.latent()
    names = [name for name in paths][:: max(1, -(-len(paths) // most))]
    size = next(iter(paths.values()))[1].shape[1]
    columns = min(size, 4)
    rows = -(-size // columns)
    with styled():
        figure = new_figure(9.6, 2.0 * rows + 0.3)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for component in range(size):
            for order, name in enumerate(names):
                times, path = paths[name]
                shade = (order + 1) / len(names)
                axes[component].plot(times - times[0], path[:, component], color=MODEL, alpha=0.25 + 0.7 * shade, lw=1.1)
            axes[component].set_title(f"latent component {component + 1}")
            axes[component].locator_params(nbins=4)
        for axis in axes[size:]:
            axis.set_axis_off()
        figure.supxlabel(f"time since the forecast's origin ({forecaster.table_.axis.unit or 'units of time'})", fontsize=9)
    return figure


def training_figure(history: list[dict[str, Any]], best: int) -> Any:
    """Loss, validation score and NFE by epoch; the epoch that was kept is marked."""
    epochs = [row["epoch"] for row in history]
    with styled():
        figure = new_figure(9.6, 2.4)
        axes = figure.subplots(1, 3)
        for axis, name, title in zip(
            axes, ("loss", "validation", "nfe"), ("training loss (negative ELBO)", "validation CRPS, scaled", "NFE a solve"), strict=True
        ):
            axis.plot(epochs, [row[name] for row in history], "-" if len(epochs) > 1 else "o", color=MODEL)
            axis.axvline(best, color=ACCENT, lw=0.9, ls="--")
            axis.set(title=title, xlabel="epoch")
            axis.locator_params(nbins=5)
    return figure


def _title(table: SeriesTable, series: str, channel: str) -> str:
    if not series:
        return channel
    return series if len(table.channels) == 1 else f"{series} · {channel}"


def _observed(axis: Any, table: SeriesTable, one: Series, channel: int, since: float) -> None:
    values = one.values[:, channel]
    shown = (one.times >= since) & np.isfinite(values)
    axis.plot(labels_of(table, one.times[shown]), values[shown], ".", color=INK, ms=2.6, alpha=0.75, label="observed")


def _band(axis: Any, part: pandas.DataFrame, colour: str = MODEL) -> None:
    if not len(part):
        return
    times = plain_times(part["time"])
    for low, high, alpha in BANDS:
        axis.fill_between(times, part[low].to_numpy(), part[high].to_numpy(), color=colour, alpha=alpha, lw=0, label=f"{'90' if low == 'q05' else '50'}% interval")
    axis.plot(times, part["mean"].to_numpy(), color=colour, lw=1.4, label="forecast")


def _legend(figure: Any, axis: Any) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper right", ncols=4)
