"""The rows of a forecast's or a backtest's frame as numbers on the time axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import SeriesTable

if TYPE_CHECKING:
    import pandas

QUANTILES = ("q05", "q25", "q50", "q75", "q95")
BASELINES = ("persistence", "seasonal_naive", "climatology", "linear", "gru")
_OTHERS = ("mean", "observed", *QUANTILES)


@dataclass(frozen=True, eq=False)
class Band:
    """Rows of one series and channel, in order of origin and time.

    Args:
        times: of each row.
        origins: of each row; NaN in a forecast.
        columns: mean, observed (NaN where nothing was, and in a forecast), those of `QUANTILES`,
            and the means of those `BASELINES` that the frame has.
    """

    times: np.ndarray
    origins: np.ndarray
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, column: str) -> np.ndarray:
        return self.columns[column]

    @property
    def lead(self) -> np.ndarray:
        """Times since the origins."""
        return self.times - self.origins

    @property
    def drawn(self) -> np.ndarray:
        """All values that a figure must have room for."""
        return np.concatenate([self[name] for name in _OTHERS])

    def inside(self, low: str, high: str) -> np.ndarray:
        """Whether each observed value lies between two quantiles; those not observed do not."""
        return (self["observed"] >= self[low]) & (self["observed"] <= self[high])

    def squared_errors(self) -> dict[str, np.ndarray]:
        """Of the model, and of the baselines that have a forecast for every row."""
        found = {"model": self["mean"]}
        found |= {name: self[name] for name in BASELINES if name in self.columns}
        return {
            name: (values - self["observed"]) ** 2
            for name, values in found.items()
            if name == "model" or np.isfinite(values).all()
        }

    def rmse(self) -> dict[str, float]:
        """Of the same; rows where nothing was observed must have been left out."""
        errors = self.squared_errors()
        return {name: float(np.sqrt(squares.mean())) for name, squares in errors.items()}

    def at(self, origin: float) -> Band:
        """The rows of one origin."""
        return self.where(self.origins == origin)

    def where(self, rows: np.ndarray) -> Band:
        """Some of the rows."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Band(self.times[rows], self.origins[rows], columns)


def joined(found: list[Band]) -> Band:
    """The rows of several bands of one frame, one after another."""
    return Band(
        np.concatenate([band.times for band in found]),
        np.concatenate([band.origins for band in found]),
        {name: np.concatenate([band[name] for band in found]) for name in found[0].columns},
    )


def seen_by_channel(past: dict[tuple[str, str], Band]) -> dict[str, Band]:
    """The rows of a backtest in which something was observed, of all series together."""
    found: dict[str, list[Band]] = {}
    for (_, channel), band in past.items():
        found.setdefault(channel, []).append(band.where(np.isfinite(band["observed"])))
    whole = {channel: joined(parts) for channel, parts in found.items()}
    return {channel: band for channel, band in whole.items() if len(band)}


def bands(frame: pandas.DataFrame, table: SeriesTable) -> dict[tuple[str, str], Band]:
    """The bands of a frame by series and channel, in its order.

    Times may be text, as they are when a CSV file is read.
    """
    if not len(frame):
        return {}
    missing = np.full(len(frame), np.nan)
    whole = Band(
        numbers_of(table, frame["time"]),
        numbers_of(table, frame["origin"]) if "origin" in frame else missing,
        {name: frame[name].to_numpy(np.float64) if name in frame else missing for name in _OTHERS}
        | {name: frame[name].to_numpy(np.float64) for name in BASELINES if name in frame},
    )
    # A series without a name is an empty cell in a CSV file.
    names = frame["series"].astype(object).where(frame["series"].notna(), "").astype(str)
    keys = list(zip(names, frame["channel"].astype(str)))
    rows: dict[tuple[str, str], list[int]] = {key: [] for key in keys}
    for row in np.lexsort((whole.times, whole.origins)):
        rows[keys[row]].append(row)
    return {key: whole.where(np.array(found)) for key, found in rows.items()}


def numbers_of(table: SeriesTable, labels: Any) -> np.ndarray:
    """Times of a frame's column on the time axis."""
    if table.axis.kind == "number":
        return labels.to_numpy(np.float64)
    if getattr(labels.dtype, "tz", None) is not None:
        labels = labels.dt.tz_convert("UTC").dt.tz_localize(None)
    return table.axis.to_number(labels.to_numpy())
