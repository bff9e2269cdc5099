"""What season of a period a series has: what other periods of it say of one left out.

Every curve has some coefficients at any period, and a smooth one that wanders has large ones. A
season comes again: the shape of some periods foretells that of another. Slow movements are taken
off first, as they say nothing of a season and hide it. The same question says how fine its shape
is: a month of holidays in every year takes more harmonics than a summer.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

COARSE = 2  # harmonics, which most seasons need
FINEST = 6  # months of a year tell five, days of a week three
GAIN = 0.1  # of the error, below which more harmonics are not worth it
NEAR = 0.02  # above the least error, which fewer harmonics may miss
FOLDS = 5
FEWEST_PERIODS = 3  # fewer can not contradict a season
ROWS_AROUND = 4  # a straight line through fewer would leave nothing to judge
MOST_ROWS = 10_000
CELLS_A_PERIOD = 48  # of the means that longer series are judged by


def harmonics_shown(
    times: Float[np.ndarray, " times"],
    values: Float[np.ndarray, " times"],
    waves: Float[np.ndarray, "times coefficients"],
    period: float,
    ridge: float,
) -> int:
    """How many harmonics a season has: none if it does not show; of a series too short, a few.

    Args:
        waves: cosine and sine of every harmonic that it may have.
    """
    errors = foretold(times, values[:, None], waves, period, ridge)
    if errors is None:
        return min(COARSE, waves.shape[1] // 2)
    count = fineness(errors[0])
    return count if errors[0, count] < errors[0, 0] else 0


def fineness(errors: Float[np.ndarray, " counts"]) -> int:
    """The fewest harmonics of nearly the least error, if they are clearly better than a few.

    Args:
        errors: of no harmonic, of one, of two...
    """
    coarse = min(COARSE, len(errors) - 1)
    finer = errors[coarse:]
    count = coarse + int(np.argmax(finer <= (1 + NEAR) * np.min(finer)))
    clearly = errors[count] < (1 - GAIN) * errors[coarse] and errors[count] < errors[0]
    return count if clearly else coarse


def distinguishable(times: Float[np.ndarray, " times"], period: float) -> int:
    """How many harmonics rows so far apart can tell: finer waves would be others in disguise.

    Args:
        times: two at least.
    """
    return max(COARSE, int(min(period / (2 * np.median(np.diff(times))), FINEST)))


def foretold(
    times: Float[np.ndarray, " times"],
    values: Float[np.ndarray, "times columns"],
    waves: Float[np.ndarray, "times coefficients"],
    period: float,
    ridge: float,
) -> Float[np.ndarray, "columns counts"] | None:
    """Squared errors of turns that were left out, foretold from the others by so many harmonics.

    By none, by one, by two, as many as there are waves. Both values and waves are taken less the
    straight line through the period around each time (or the periods that hold some rows). None if
    the series is too short to say.

    Args:
        values: each column a curve at the same times.
    """
    size = values.shape[1]
    columns = np.hstack([values - np.mean(values, axis=0), waves])
    if len(times) > MOST_ROWS:
        times, columns = _latest_means(times, columns, period / CELLS_A_PERIOD)
    spacing = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    width = period * max(1, int(np.ceil(ROWS_AROUND * spacing / period)))
    # Without whole periods around them the first and last rows keep some of what is slow.
    inner = (times - times[0] >= width / 2) & (times[-1] - times >= width / 2)
    turns, turn = np.unique((times - times[0])[inner] // period, return_inverse=True)
    if len(turns) < FEWEST_PERIODS:
        return None
    columns = (columns - _slow(times, columns, width))[inner]
    target, waves = columns[:, :size], columns[:, size:]
    folds = min(FOLDS, len(turns))
    missed = np.zeros((size, 1 + waves.shape[1] // 2))
    missed[:, 0] = np.sum(target**2, axis=0)
    for fold in range(folds):
        out = turn * folds // len(turns) == fold
        gram = waves[~out].T @ waves[~out] + ridge * np.eye(waves.shape[1])
        product = waves[~out].T @ target[~out]
        for count in range(1, missed.shape[1]):
            some = slice(0, 2 * count)
            guess = waves[out, some] @ np.linalg.solve(gram[some, some], product[some])
            missed[:, count] += np.sum((target[out] - guess) ** 2, axis=0)
    return missed


def _latest_means(
    times: Float[np.ndarray, " times"], columns: Float[np.ndarray, "times columns"], cell: float
) -> tuple[Float[np.ndarray, " cells"], Float[np.ndarray, "cells columns"]]:
    """The means over cells of time, the latest of them: rows left out would alias fast cycles."""
    _, place, count = np.unique(times // cell, return_inverse=True, return_counts=True)
    both = np.column_stack([times, columns])
    sums = np.stack([np.bincount(place, column) for column in both.T], axis=1)
    means = (sums / count[:, None])[-MOST_ROWS:]
    return means[:, 0], means[:, 1:]


def _slow(
    times: Float[np.ndarray, " times"], columns: Float[np.ndarray, "times columns"], width: float
) -> Float[np.ndarray, "times columns"]:
    """At each time, the straight line through the rows of a width around it."""
    first = np.searchsorted(times, times - width / 2, side="left")
    last = np.searchsorted(times, times + width / 2, side="right")
    own = ((times - times[0]) / width)[:, None]
    total = np.cumsum(np.hstack([columns, own, own**2, own * columns]), axis=0)
    total = np.vstack([np.zeros((1, total.shape[1])), total])
    mean = (total[last] - total[first]) / (last - first)[:, None]
    size = columns.shape[1]
    level, centre, square, product = np.split(mean, [size, size + 1, size + 2], axis=1)
    spread = square - centre**2
    slope = np.where(spread > 1e-9, product - centre * level, 0.0) / np.maximum(spread, 1e-9)
    return level + slope * (own - centre)
