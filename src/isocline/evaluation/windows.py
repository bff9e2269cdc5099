"""Rolling origins: what a model may know, and what it is asked, split by time alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from isocline.data.table import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.forecast import Forecast
from isocline.evaluation.scores import summarize


@runtime_checkable
class Forecaster(Protocol):
    """Anything that forecasts: the baselines, and the models of the library."""

    def forecast(self, history: Series, times: Float[np.ndarray, "times"]) -> Forecast:
        """The forecast of the series at later times, from its history."""
        ...


@dataclass(frozen=True, eq=False)
class Split:
    """Times, on the table's axis, that part training, validation and test.

    Args:
        train_end: training rows have `time <= train_end`.
        validation_end: validation rows are after that, up to and including this.
        origins: increasing; each forecast knows the rows with `time <= origin`, and is asked for
            those after it. No origin is before `validation_end`.
    """

    train_end: float
    validation_end: float
    origins: Float[np.ndarray, "origins"]


def rolling_origins(
    table: SeriesTable,
    horizon: float,
    test_fraction: float = 0.2,
    count: int = 20,
    *,
    validation_fraction: float = 0.1,
) -> Split:
    """A split of the table's time such that the last rows are for testing.

    The fractions are of all rows, ordered by time whatever their series: where series last
    unequally, a fraction of the calendar could leave the short ones without any training rows.

    Args:
        table: with series of the same or of different spans.
        horizon: how far each forecast reaches, in units of the time axis.
        test_fraction: of the rows, for testing; above 0.
        count: of origins, evenly spaced; those without history or targets are left out.
        validation_fraction: of the rows, just before; may be 0.

    Raises:
        InputError: an argument is out of range, or the table is too short.
    """
    if min(horizon, count, test_fraction) <= 0:
        raise InputError(
            f"The horizon ({horizon}), the number of origins ({count}) and the test fraction "
            f"({test_fraction}) must be positive."
        )
    if not 0 <= validation_fraction < 1 - test_fraction:
        raise InputError(
            f"The test and validation fractions ({test_fraction} and {validation_fraction}) leave "
            f"nothing to train on: neither may be negative, and their sum must be below 1."
        )
    times = np.sort(np.concatenate([one.times for one in table.series]))
    shares = (1 - test_fraction - validation_fraction, 1 - test_fraction)
    train_end, validation_end = (float(times[int(share * (len(times) - 1))]) for share in shares)
    # The last origins stay a horizon (or, where that is longer, half of the test) from the end.
    rest = times[-1] - validation_end
    latest = times[-1] - min(horizon, rest / 2)
    origins = _with_targets(np.linspace(validation_end, latest, count), table, horizon)
    if not len(origins):
        raise InputError(
            f"The table is too short to be split: after the time {validation_end:g} no series has "
            f"a row within the horizon of {horizon:g}. Give more rows, or a longer horizon."
        )
    return Split(train_end, validation_end, origins)


def _with_targets(
    origins: np.ndarray, table: SeriesTable, horizon: float
) -> Float[np.ndarray, "origins"]:
    def asks(origin: float) -> bool:
        return any(
            one.times[0] <= origin and len(targets_after(one, origin, horizon))
            for one in table.series
        )

    return np.array(list(filter(asks, np.unique(origins))), np.float64)


def history_until(series: Series, origin: float) -> Series:
    """The rows with `time <= origin`."""
    return series.between(-np.inf, origin)


def targets_after(series: Series, origin: float, horizon: float) -> Series:
    """The rows with `origin < time <= origin + horizon`."""
    return series.between(origin, origin + horizon)


def comparable(history: Series, target: Series) -> Float[np.ndarray, "times channels"]:
    """The targets, NaN in channels never observed before: baselines have nothing to say there."""
    return np.where(np.isfinite(history.values).any(axis=0), target.values, np.nan)


def backtest(
    forecaster: Forecaster, table: SeriesTable, split: Split, horizon: float
) -> dict[str, float]:
    """Scores of a fitted forecaster from every origin for every series, at the targets' own times.

    Returns:
        As `summarize`.
    """
    forecasts, targets = [], []
    for origin in split.origins:
        for one in table.series:
            history, asked = history_until(one, origin), targets_after(one, origin, horizon)
            if len(history) and len(asked):
                forecasts.append(forecaster.forecast(history, asked.times))
                targets.append(comparable(history, asked))
    return summarize(forecasts, targets)
