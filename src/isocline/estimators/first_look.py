"""What training rows say before scales are fitted: periods, how fine seasons are, logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from isocline.data import SeriesTable, candidate_periods

from .preparing import RIDGE, Scaling
from .seasonality import COARSE, FINEST, fineness, foretold
from .tables import some_series
from .transforms import Transform, candidates, choose_transforms, transformed

GROWS = 0.7  # of what a season leaves of the values it leaves of their logarithms, if it grows
MOST_SERIES = 32  # that are asked


def first_look(
    table: SeriesTable,
    horizon: float,
    *,
    transform: str = "auto",
    periods: Sequence[float] | None = None,
) -> Scaling:
    """A scaling without scales, as a table of training rows shows that it should be.

    Args:
        horizon: the unit of model time.
        transform: "auto" for logarithms where values grow by factors, or their season does.
        periods: of the seasons; those that the table shows if not given.
    """
    transforms = choose_transforms(table) if transform == "auto" else ()
    chosen = periods_seen(table, transforms) if periods is None else tuple(map(float, periods))
    scaling = Scaling(chosen, COARSE, horizon, {}, transforms)
    looks = [_look(scaling, table, channel) for channel in range(len(table.channels))]
    # Without transforms there is nothing to add one to.
    known = tuple(one for one, _ in looks) if transforms else ()
    return replace(scaling, transforms=known, harmonics=max(count for _, count in looks))


def periods_seen(table: SeriesTable, transforms: Sequence[Transform]) -> tuple[float, ...]:
    """Periods of the transformed values: peaks that grow by factors hide their season."""
    return candidate_periods(transformed(table, transforms))


def _look(scaling: Scaling, table: SeriesTable, channel: int) -> tuple[Transform, int]:
    """The transform of a channel, and the harmonics of its finest season.

    A season that grows with its level is one of factors, though changes from row to row do not
    tell it: the season itself is most of them.
    """
    options = [scaling.transforms[channel] if scaling.transforms else Transform()]
    if scaling.transforms and options[0].shift is None:
        options += candidates(table, channel)
    errors = _foretold(scaling, table, channel, options)
    counts = np.array([[fineness(row) for row in rows] for rows in errors], int)
    counts = counts.reshape(errors.shape[:2])
    missed = np.take_along_axis(errors, counts[..., None], axis=-1)[..., 0]
    whole = errors[..., 0]
    # Of the season that is told best; one where none is.
    left = np.min(missed / np.maximum(whole, 1e-30), axis=1, initial=1.0, where=whole > 0)
    best = int(np.argmin(left))
    best = best if left[best] < GROWS * left[0] else 0
    return options[best], int(np.max(counts[best], initial=COARSE))


def _foretold(
    scaling: Scaling, table: SeriesTable, channel: int, options: Sequence[Transform]
) -> Float[np.ndarray, "options periods counts"]:
    """What so many harmonics miss of turns that are left out, as shares; sums over the series.

    Zero where no series is long enough to say.
    """
    fine = replace(scaling, harmonics=FINEST)
    errors = np.zeros((len(options), len(scaling.periods), FINEST + 1))
    for one in some_series(table, MOST_SERIES):
        seen = np.isfinite(one.values[:, channel])
        times, values = one.times[seen], one.values[seen, channel]
        seasons = zip(fine.affordable(times), fine.waves(fine.design(times)), strict=True)
        columns = np.stack([option.forward(values) for option in options], axis=1)
        for k, (most, waves) in enumerate(seasons):
            period = scaling.periods[k]
            found = foretold(times, columns, waves[:, : 2 * most], period, RIDGE) if most else None
            if found is None:
                continue
            # What this series can not carry or tell misses as much as its finest.
            found = np.pad(found, ((0, 0), (0, FINEST - most)), mode="edge")
            errors[:, k] += found / np.maximum(found[:, :1], 1e-30) * (found[:, :1] > 0)
    return errors
