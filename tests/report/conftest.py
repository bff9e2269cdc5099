"""Pages of small tables by a forecaster that only pretends: the page asks no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest

from isocline.data import SeriesTable
from isocline.estimators import Backtest
from isocline.report import report_page

QUANTILES = ("q05", "q25", "q50", "q75", "q95")
BASELINES = ("persistence", "seasonal_naive", "climatology", "linear", "gru")
SCORES = ("rmse", "mae", "crps", "coverage_50", "coverage_90")


@dataclass
class Pretender:
    """What the page asks of a fitted `LatentODEForecaster`."""

    table_: SeriesTable
    horizon_: float = 40.0
    best_epoch_: int = 2
    nfe_: float = 21.5
    periods_: tuple[float, ...] = (100.0,)
    seed: int = 0
    history_: list[dict[str, float]] = field(
        default_factory=lambda: [
            {"epoch": epoch, "loss": 1 / epoch, "validation": 0.5981 + 0.001 * epoch, "nfe": 20.0}
            for epoch in (1, 2, 3)
        ]
    )

    latent_: bool = True

    def settings(self):
        return {"members": 1, "periods": None}

    def latent(self):
        turn = np.linspace(0, 3, 20)
        path = np.stack([np.sin(turn), np.cos(turn), turn], axis=1).astype(np.float32)
        shown = self.table_.series if self.latent_ else ()
        return {one.name: (one.times[-1] + turn, path + n) for n, one in enumerate(shown)}


def measured(
    series: Sequence[str] = ("north", "south"),
    channels: Sequence[str] = ("level",),
    *,
    dates: bool = False,
    time: str = "hours",
    size: float = 1.0,
) -> SeriesTable:
    """A table of seasonal series with missing cells."""
    random = np.random.default_rng(0)
    parts = []
    for name in series:
        times = np.sort(random.choice(400, 80, replace=False)).astype(float)
        cells = {
            channel: size * (4 + np.sin(times / 16 + n) + 0.1 * random.normal(size=80))
            for n, channel in enumerate(channels)
        }
        frame = pandas.DataFrame({time: times, "station": name} | cells)
        if dates:
            start = pandas.Timestamp("2015-01-01", tz="Europe/Berlin")
            frame[time] = start + pandas.to_timedelta(times, "D")
        if len(channels) > 1:
            frame.loc[random.random(80) < 0.3, channels[-1]] = np.nan
        parts.append(frame if name else frame.drop(columns="station"))
    return SeriesTable.from_frame(
        pandas.concat(parts), time=time, series="station" if any(series) else None
    )


def rows(table: SeriesTable, origin: float | None, horizon: float = 40.0) -> pandas.DataFrame:
    """Rows as `predict` gives them, or those of one origin as `backtest` does."""
    parts = []
    for one in table.series:
        ahead = one.times[-1] + np.linspace(8, horizon, 5)
        told = one if origin is None else one.between(origin, origin + horizon)
        times = ahead if origin is None else told.times
        for index, channel in enumerate(table.channels):
            scale = np.nanstd(one.values[:, index])
            mean = np.nanmean(one.values[:, index]) + scale * np.sin(times / 16)
            columns = {"time": table.time_column(times), "series": one.name, "channel": channel}
            if origin is not None:
                columns["origin"] = table.time_column(np.full(len(times), origin))
                columns["observed"] = told.values[:, index]
            columns["mean"] = mean
            columns |= {q: mean + scale * n for q, n in zip(QUANTILES, (-2, -0.7, 0, 0.7, 2))}
            parts.append(pandas.DataFrame(columns))
    return pandas.concat(parts, ignore_index=True)


def tested(table: SeriesTable) -> pandas.DataFrame:
    """A backtest from three origins, with the forecasts of the baselines."""
    last = min(one.times[-1] for one in table.series)
    frame = pandas.concat([rows(table, last - back) for back in (90, 80, 40)], ignore_index=True)
    return frame.assign(**dict.fromkeys(BASELINES, 1.1 * frame["mean"]))


def scores(**changes: float) -> dict[str, float]:
    """Scores of one method."""
    return dict(zip(SCORES, (0.5, 0.4, 0.3, 0.5, 0.9))) | changes


def metrics() -> dict:
    """As in metrics.json."""
    baselines = {name: scores(rmse=0.6 + n / 10) for n, name in enumerate(BASELINES)}
    return {"model": scores(), "baselines": baselines, "windows": 6, "origins": ["a", "b", "c"]}


ROBUSTNESS = [
    {"deleted": 0.0, "rmse": 0.5, "spread": 0.0, "increase": 0.0},
    {"deleted": 0.5, "rmse": 0.55, "spread": 0.01, "increase": 0.1},
]


class Read(HTMLParser):
    """A page as a browser reads it: tags with their attributes, ids, and the text that is seen."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page, self.text, self._style = page, "", False
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._style = tag == "style"

    def handle_endtag(self, tag):
        self._style = False

    def handle_data(self, data):
        self.text += "" if self._style else data

    def every(self, attribute: str) -> list[str]:
        return [values[attribute] or "" for _, values in self.tags if attribute in values]

    def count(self, tag: str, **wanted: str) -> int:
        return sum(
            name == tag and all(values.get(key) == value for key, value in wanted.items())
            for name, values in self.tags
        )


@pytest.fixture(scope="session")
def make() -> Callable[..., SeriesTable]:
    """Makes a table."""
    return measured


@pytest.fixture(scope="session")
def backtest_of() -> Callable[[SeriesTable], pandas.DataFrame]:
    """Makes the frame of a backtest."""
    return tested


@pytest.fixture(scope="session")
def page() -> Callable[..., Read]:
    """Makes the page about a table and reads it; parts can be changed."""

    def made(table: SeriesTable, forecaster: dict | None = None, **changes) -> Read:
        parts = {
            "forecast": rows(table, None),
            "backtest": Backtest({}, changes.pop("tested", tested(table))),
            "robustness": ROBUSTNESS,
            "metrics": metrics(),
            "command": "isocline forecast small.csv",
            "source": "small.csv",
        }
        return Read(report_page(Pretender(table, **forecaster or {}), **parts | changes))

    return made
