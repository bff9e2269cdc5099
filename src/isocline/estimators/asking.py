"""Which times are asked of which series, and forecasts as a long frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import SeriesTable, regular_times
from isocline.errors import InputError
from isocline.evaluation.forecast import LEVELS, Forecast

if TYPE_CHECKING:
    import pandas


def default_horizon(table: SeriesTable) -> float:
    """A tenth of the median span of the series, but no less than two rows."""
    span = float(np.median([one.times[-1] - one.times[0] for one in table.series]))
    return max(span / 10, 2 * table.median_spacing)


def asked_times(table: SeriesTable, times: Any, horizon: float) -> dict[str, np.ndarray]:
    """The times asked of each series, as sorted numbers on the time axis.

    Raises:
        InputError: a time is not after the last observation of its series, or a series is not
            known.
    """
    if times is None:
        return {
            one.name: regular_times(float(one.times[-1]), horizon, table.median_spacing)
            for one in table.series
        }
    if not isinstance(times, dict) and np.size(np.asarray(times)) == 0:
        raise InputError(
            "There is no time to forecast: times is empty. Give times, or None for the whole "
            "horizon."
        )
    asked = _by_series(table, times)
    for one in table.series:
        late = asked.get(one.name, np.empty(0))
        if len(late) and late[0] <= one.times[-1]:
            labels = table.axis.to_label(np.array([late[0], one.times[-1]]))
            of = f" of series '{one.name}'" if one.name else ""
            raise InputError(
                f"The time {labels[0]} is not after the last observation{of} ({labels[1]}). Ask "
                f"for later times, or give only the data up to the time from which to forecast."
            )
    return {name: late for name, late in asked.items() if len(late)}


def _by_series(table: SeriesTable, times: Any) -> dict[str, np.ndarray]:
    names = [one.name for one in table.series]
    if isinstance(times, dict):
        unknown = [name for name in times if name not in names]
        if unknown:
            raise InputError(
                f"The series {unknown[0]!r} is not in the data; there are: {', '.join(names[:20])}."
            )
        return {name: np.unique(np.asarray(numbers, np.float64)) for name, numbers in times.items()}
    if hasattr(times, "columns"):
        return _from_frame(table, times)
    numbers = np.unique(table.axis.to_number(times))
    return dict.fromkeys(names, numbers)


def _from_frame(table: SeriesTable, frame: Any) -> dict[str, np.ndarray]:
    columns = [str(name) for name in frame.columns]
    numbers = table.axis.to_number(np.asarray(frame[_time_column(table, columns)]))
    series = table.columns.series
    if series is None or series not in columns:
        return dict.fromkeys([one.name for one in table.series], np.unique(numbers))
    names = np.asarray([str(name) for name in frame[series]])
    return _by_series(table, {str(name): numbers[names == name] for name in np.unique(names)})


def _time_column(table: SeriesTable, columns: list[str]) -> str:
    """The column that is called like the table's, or else the only one."""
    if table.columns.time in columns:
        return table.columns.time
    if len(columns) == 1:
        return columns[0]
    raise InputError(
        f"The frame of times has no column '{table.columns.time}'; it has: {', '.join(columns)}. "
        f"Rename the one that holds the times."
    )


def forecast_frame(
    table: SeriesTable, names: list[str], forecasts: list[Forecast]
) -> pandas.DataFrame:
    """Columns time, series, channel, mean, q05, q25, q50, q75, q95; one row a time and channel."""
    import pandas

    parts = []
    for name, forecast in zip(names, forecasts, strict=True):
        quantiles = forecast.at(LEVELS)
        labels = table.time_column(forecast.times)
        for index, channel in enumerate(table.channels):
            columns = {"time": labels, "series": name, "channel": channel}
            columns["mean"] = forecast.mean[:, index]
            columns |= {
                f"q{round(100 * level):02d}": quantiles[:, index, k]
                for k, level in enumerate(LEVELS)
            }
            parts.append(pandas.DataFrame(columns))
    if not parts:
        raise InputError("No series was asked for any time.")
    return pandas.concat(parts, ignore_index=True)
