"""What a model sees of covariates: numbers of about one, categories as ones and zeros."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from isocline.data import Columns, Covariates, Series, SeriesTable
from isocline.errors import InputError
from isocline.models import Widths

from .calendar import Calendar
from .preparing import Scaling

INTERPOLATIONS = ("linear", "hold")
FEWEST_STEPS, MOST_KNOTS, MOST_STEPS = 24, 96, 256  # in a horizon
STEPS_A_CYCLE = 4


@dataclass(frozen=True)
class Standard:
    """Columns less their centre, by their spread."""

    centre: Float[np.ndarray, " columns"]
    spread: Float[np.ndarray, " columns"]

    @classmethod
    def fit(cls, columns: Sequence[np.ndarray]) -> Standard:
        """Mean and standard deviation; a column of zeros and ones stays what it is."""
        rules = [_rule(column[np.isfinite(column)]) for column in columns]
        centre, spread = np.array(rules, np.float64).reshape(-1, 2).T
        return cls(centre, spread)

    def scaled(self, values: Float[np.ndarray, "rows columns"]) -> np.ndarray:
        """The columns as a model sees them."""
        return (values - self.centre) / self.spread


def _rule(values: np.ndarray) -> tuple[float, float]:
    if not len(values) or np.isin(values, (0.0, 1.0)).all():
        return 0.0, 1.0
    centre, spread = float(values.mean()), float(values.std())
    return centre, spread if spread > 1e-9 * max(abs(centre), 1.0) else 1.0


@dataclass(frozen=True)
class StaticColumn:
    """A static column: of categories, or (where there are none) of numbers.

    Attributes:
        name: of the column.
        categories: that were there when the model was fitted.
        centre, spread: of the numbers.
    """

    name: str
    categories: tuple[str, ...] = ()
    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def fit(cls, name: str, entries: Sequence[float | str]) -> StaticColumn:
        """From what the series of a table have there."""
        if isinstance(entries[0], str):
            return cls(name, tuple(sorted(map(str, set(entries)))))
        return cls(name, (), *_rule(np.array(entries, np.float64)))

    @property
    def width(self) -> int:
        """How many numbers stand for it."""
        return len(self.categories) or 1

    def encoded(self, entry: float | str, series: str) -> list[float]:
        """What stands for an entry.

        Raises:
            InputError: a category that was not there, or text for a number or the reverse.
        """
        of = f" of series '{series}'" if series else ""
        if isinstance(entry, str) != bool(self.categories):
            wanted = "texts" if self.categories else "numbers"
            raise InputError(
                f"The static column '{self.name}'{of} is {entry!r}, but the model was fitted to "
                f"{wanted} there. Give it {wanted}."
            )
        if not isinstance(entry, str):
            return [(entry - self.centre) / self.spread]
        if entry not in self.categories:
            raise InputError(
                f"The static column '{self.name}'{of} is '{entry}', which the model has never "
                f"seen; it knows {', '.join(self.categories[:20])}. Correct the cell, or fit the "
                f"model to data with it."
            )
        return [float(entry == category) for category in self.categories]


@dataclass(frozen=True)
class CovariateScaling:
    """All covariates of a table, and how a model sees them.

    Attributes:
        columns: of the table.
        horizon: the unit of model time.
        known: of known inputs; all series have one scale, so that levels can be compared.
        past: of readings: each series less its season, by its own spread, as the targets.
        static: of what stays.
        calendar: of the waves.
        hold: known inputs hold their value until they are given next.
        steps: of a solve over one horizon.
        knots: of known inputs in one horizon, about; where they are denser than `MOST_KNOTS`, the
            means of cells of this length (`cell`, in units of the time axis) stand for them.
        cell: 0 where all are kept.
    """

    columns: Columns
    horizon: float
    known: Standard
    past: Scaling
    static: tuple[StaticColumn, ...]
    calendar: Calendar
    hold: bool
    steps: int
    knots: int
    cell: float

    @property
    def widths(self) -> Widths:
        """What a model is told of them."""
        return Widths(
            past=len(self.columns.past),
            known=len(self.columns.known),
            static=sum(column.width for column in self.static),
            waves=self.calendar.frequencies(self.horizon),
            hold=self.hold,
            fastest=2 * np.pi * self.steps / STEPS_A_CYCLE,
        )

    def of(self, series: Series) -> Covariates:
        """The covariates of a series.

        Raises:
            InputError: it has none, or not as many as the model was fitted to.
        """
        found, columns = series.covariates, self.columns
        if found is None and not columns.covariates:
            blank = np.empty((0, 0))
            return Covariates(np.empty((len(series), 0)), np.empty(0), blank)
        widths = (len(columns.past), len(columns.known), len(columns.static))
        there = found and (found.past.shape[1], found.known.shape[1], len(found.static))
        if found is None or widths != there:
            raise InputError(
                f"Series '{series.name}' must have the covariates that the model was fitted to: "
                f"{', '.join(columns.covariates)}."
            )
        return found

    def path(self, series: Series) -> tuple[Float[np.ndarray, "knots"], np.ndarray]:
        """When known inputs are given, on the time axis, and their scaled values there."""
        covariates = self.of(series)
        times = covariates.times
        values = self.known.scaled(covariates.at(times, hold=self.hold))
        if not self.cell:
            return times, values
        starts = np.flatnonzero(np.diff(np.floor(times / self.cell), prepend=-np.inf))
        counts = np.diff(np.append(starts, len(times)))
        return (
            np.add.reduceat(times, starts) / counts,
            np.add.reduceat(values, starts) / counts[:, None],
        )

    def read(self, series: Series) -> tuple[np.ndarray, np.ndarray]:
        """Readings and known inputs at the rows of a series, scaled."""
        covariates = self.of(series)
        known = self.known.scaled(covariates.at(series.times, hold=self.hold))
        if not self.columns.past or not len(series):
            return covariates.past, known
        return self.past.scaled(Series(series.name, series.times, covariates.past)), known

    def stays(self, series: Series) -> Float[np.ndarray, " static"]:
        """What stands for the static columns of a series."""
        entries = zip(self.static, self.of(series).static, strict=True)
        parts = [column.encoded(entry, series.name) for column, entry in entries]
        return np.array([number for part in parts for number in part], np.float64)


def fit_covariates(
    table: SeriesTable, train_end: float, scaling: Scaling, calendar: Calendar, interpolation: str
) -> CovariateScaling | None:
    """How a model sees the covariates of a table; None if there are none.

    Args:
        table: all rows; numbers are scaled by those up to `train_end`.
        train_end: the end of training.
        scaling: of the targets, for the seasons of readings.
        calendar: may be empty.
        interpolation: one of `INTERPOLATIONS`.
    """
    columns = table.columns
    if not (columns.covariates or calendar.names):
        return None
    held = [one.covariates for one in table.series if one.covariates is not None]
    known = [
        np.concatenate([one.known[one.times <= train_end, index] for one in held])
        for index in range(len(columns.known))
    ]
    density = max((_density(one, scaling.horizon) for one in held), default=0)
    return CovariateScaling(
        columns=columns,
        horizon=scaling.horizon,
        known=Standard.fit(known),
        past=_past_scaling(table.until(train_end), scaling),
        static=tuple(
            StaticColumn.fit(name, [one.static[index] for one in held])
            for index, name in enumerate(columns.static)
        ),
        calendar=calendar,
        hold=interpolation == "hold",
        steps=_steps(density, scaling),
        knots=min(density, MOST_KNOTS) + 2,
        cell=scaling.horizon / MOST_KNOTS if density > MOST_KNOTS else 0.0,
    )


def _steps(density: int, scaling: Scaling) -> int:
    """Enough for every knot that is kept, and for every season."""
    cycles = max((scaling.horizon / period for period in scaling.periods), default=0)
    wanted = max(min(density, MOST_KNOTS), int(np.ceil(STEPS_A_CYCLE * cycles)), FEWEST_STEPS)
    return min(wanted, MOST_STEPS)


def _density(covariates: Covariates, horizon: float) -> int:
    """The most knots of known inputs in any horizon."""
    times = covariates.times
    ahead = np.searchsorted(times, times + horizon) - np.arange(len(times))
    return int(np.max(ahead, initial=1))


def _past_scaling(table: SeriesTable, scaling: Scaling) -> Scaling:
    readings = [
        Series(one.name, one.times, one.covariates.past)
        for one in table.series
        if one.covariates is not None and table.columns.past
    ]
    shared = scaling.periods, scaling.harmonics, scaling.horizon
    return Scaling.fit(table.with_series(readings), *shared)
