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
from .transforms import candidates, choose_transforms, transformed

GROWS = 0.7  # of what a season leaves of the values it leaves of their logarithms, if it grows


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
    if periods is None:
        # Peaks that grow by factors hide a season that their logarithms show.
        periods = candidate_periods(transformed(table, transforms))
    scaling = Scaling(tuple(map(float, periods)), FINEST, horizon, {}, transforms)
    if transforms:
        scaling = _with_growing_seasons(scaling, table)
    counts = [fineness(row) for rows in _foretold(scaling, table) for row in rows]
    return replace(scaling, harmonics=max(counts, default=COARSE))


def _foretold(scaling: Scaling, table: SeriesTable) -> Float[np.ndarray, "periods channels counts"]:
    """What so many harmonics miss of turns that are left out, as shares; sums over the series.

    Zero where no series is long enough to say.
    """
    errors = np.zeros((len(scaling.periods), len(table.channels), scaling.harmonics + 1))
    for one in some_series(table):
        for channel, values in enumerate(scaling.forward(one.values).T):
            seen = np.isfinite(values)
            times, values = one.times[seen], values[seen]
            affordable = scaling.affordable(times)
            for k, waves in enumerate(scaling.waves(scaling.design(times))):
                if not affordable[k]:
                    continue
                found = foretold(times, values, waves, scaling.periods[k], RIDGE)
                if found is not None and found[0] > 0:
                    errors[k, channel] += found / found[0]
    return errors


def _with_growing_seasons(scaling: Scaling, table: SeriesTable) -> Scaling:
    """Logarithms of the channels whose seasons these foretell clearly better.

    A season that grows with its level is one of factors, though changes from row to row do not
    tell it: the season itself is most of them.
    """
    plain = _left(scaling, table)
    best = plain * GROWS
    transforms = list(scaling.transforms)
    options = [
        candidates(table, channel) if one.shift is None else []
        for channel, one in enumerate(scaling.transforms)
    ]
    for turn in range(max(map(len, options), default=0)):
        tried = [
            choice[turn] if choice else one
            for choice, one in zip(options, scaling.transforms, strict=True)
        ]
        left = _left(replace(scaling, transforms=tuple(tried)), table)
        for channel in np.flatnonzero(np.any(left < best, axis=0)):
            transforms[channel] = tried[channel]
            best[:, channel] = np.minimum(best[:, channel], left[:, channel])
    return replace(scaling, transforms=tuple(transforms))


def _left(scaling: Scaling, table: SeriesTable) -> Float[np.ndarray, "periods channels"]:
    """What the best number of harmonics leaves, as a share; one where there is no season."""
    errors = _foretold(scaling, table)
    least = np.array([[row[fineness(row)] for row in rows] for rows in errors])
    whole = np.maximum(errors[..., 0], 1e-30)
    return np.where(errors[..., 0] > 0, np.minimum(least.reshape(whole.shape) / whole, 1.0), 1.0)
