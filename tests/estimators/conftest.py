"""A small table, tiny settings, and one fitted forecaster that the tests of the estimator share."""

from __future__ import annotations

import sys

import numpy as np
import pandas
import pytest

from isocline.estimators import LatentODEForecaster

TINY = {
    "horizon": 60,
    "members": 1,
    "epochs": 2,
    "hidden_size": 4,
    "latent_size": 2,
    "batch_size": 8,
}
ZONE = "Europe/Berlin"
QUANTILES = ["q05", "q25", "q50", "q75", "q95"]


def small_frame(seed: int = 0, days: int = 900, rows: int = 80, zone: str | None = ZONE):
    """Two seasonal series of two channels at random days, with cells missing."""
    random = np.random.default_rng(seed)
    parts = []
    for name, shift in (("north", 0.0), ("south", 1.5)):
        day = np.sort(random.choice(days, rows, replace=False))
        angle = 2 * np.pi * day / 365.25
        values = {
            "level": 10 + 3 * np.sin(angle + shift) + 0.3 * random.normal(size=rows),
            "flow": 5 + np.cos(angle) + 0.2 * random.normal(size=rows),
        }
        times = pandas.Timestamp("2015-01-01", tz=zone) + pandas.to_timedelta(day, "D")
        frame = pandas.DataFrame({"date": times, "station": name, **values})
        frame.loc[random.random(rows) < 0.1, "level"] = np.nan
        frame.loc[random.random(rows) < 0.3, "flow"] = np.nan
        parts.append(frame)
    frame = pandas.concat(parts, ignore_index=True)
    return frame.dropna(subset=["level", "flow"], how="all", ignore_index=True)


@pytest.fixture(scope="session")
def frame() -> pandas.DataFrame:
    """The table, as a pandas frame."""
    return small_frame()


@pytest.fixture(scope="session")
def fitted(frame) -> LatentODEForecaster:
    """A forecaster that was fitted once; nobody changes it."""
    return LatentODEForecaster(**TINY).fit(frame)


@pytest.fixture(scope="session")
def scored(frame):
    """Another one with its GRU, which a backtest trains: the forecaster and the backtest."""
    forecaster = LatentODEForecaster(**TINY).fit(frame)
    return forecaster, forecaster.backtest()


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_go():
    """Fits compile many programs, and a process may hold only so many."""
    yield
    sys.modules["jax"].clear_caches()
