"""The rows of a forecast's or a backtest's frame as numbers on the time axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isocline.data import SeriesTable

if TYPE_CHECKING:
    import pandas

QUANTILES = ("q05", "q25", "q50", "q75", "q95")


@dataclass(frozen=True, eq=False)
class Band:
    """Rows of one series and channel, in order of origin and time.

    Args:
        times, mean: of each row.
        quantiles: by the names in `QUANTILES`.
        origins: of each row; NaN in a forecast.
        observed: what was observed later; NaN where nothing was, and in a forecast.
    """

    times: np.ndarray
    mean: np.ndarray
    quantiles: dict[str, np.ndarray]
    origins: np.ndarray
    observed: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def at(self, origin: float) -> Band:
        """The rows of one origin."""
        return self.where(self.origins == origin)

    def where(self, rows: np.ndarray) -> Band:
        """Some of the rows."""
        parts = {name: values[rows] for name, values in self.quantiles.items()}
        return Band(
            self.times[rows], self.mean[rows], parts, self.origins[rows], self.observed[rows]
        )


def bands(frame: pandas.DataFrame, table: SeriesTable) -> dict[tuple[str, str], Band]:
    """The bands of a frame by series and channel; its cells may be text, as read from a CSV file."""
    if not len(frame):
        return {}
    names = frame["series"].fillna("").astype(str).to_numpy(object)
    channels = frame["channel"].astype(str).to_numpy(object)
    times = numbers_of(table, frame["time"])
    origins = numbers_of(table, frame["origin"]) if "origin" in frame else np.full(len(times), np.nan)
    columns = {
        name: frame[name].to_numpy(np.float64) if name in frame else np.full(len(times), np.nan)
        for name in ("mean", "observed", *QUANTILES)
    }
    order = np.lexsort((times, origins))
    rows: dict[tuple[str, str], list[int]] = {}
    for row in order:
        rows.setdefault((names[row], channels[row]), []).append(int(row))
    return {
        key: Band(
            times[found],
            columns["mean"][found],
            {name: columns[name][found] for name in QUANTILES},
            origins[found],
            columns["observed"][found],
        )
        for key, found in rows.items()
    }


def numbers_of(table: SeriesTable, labels: pandas.Series) -> np.ndarray:
    """Times of a frame on the time axis."""
    if getattr(labels.dt, "tz", None) is not None if hasattr(labels, "dt") else False:
        labels = labels.dt.tz_convert("UTC").dt.tz_localize(None)
    values = labels.to_numpy()
    if table.axis.kind == "number":
        return values.astype(np.float64)
    return table.axis.to_number(values)


def value_of(table: SeriesTable, channel: str) -> int:
    """The position of a channel."""
    return table.channels.index(channel)
