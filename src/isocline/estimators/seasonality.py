"""Whether a series has a season of a period: what other periods of it say of one left out.

Every curve has some coefficients at any period, and a smooth one that wanders has large ones. A
season comes again: the shape of some periods foretells that of another. Slow movements are taken
off first, as they say nothing of a season and hide it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FOLDS = 5
FEWEST_PERIODS = 3  # fewer can not contradict a season
ROWS_AROUND = 4  # a straight line through fewer would leave nothing to judge
MOST_ROWS = 10_000
CELLS_A_PERIOD = 48  # of the means that longer series are judged by


def season_shows(
    times: Float[np.ndarray, " times"],
    values: Float[np.ndarray, " times"],
    waves: Float[np.ndarray, "times coefficients"],
    period: float,
    ridge: float,
) -> bool:
    """Whether waves of a period, fitted to some of its turns, tell the others better than nothing.

    Both values and waves are taken less the straight line through the period around each time (or
    the periods that hold some rows). Of a series too short to say, yes.
    """
    columns = np.column_stack([values - np.mean(values), waves])
    if len(times) > MOST_ROWS:
        times, columns = _latest_means(times, columns, period / CELLS_A_PERIOD)
    spacing = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    width = period * max(1, int(np.ceil(ROWS_AROUND * spacing / period)))
    # Without whole periods around them the first and last rows keep some of what is slow.
    inner = (times - times[0] >= width / 2) & (times[-1] - times >= width / 2)
    turns, turn = np.unique((times - times[0])[inner] // period, return_inverse=True)
    if len(turns) < FEWEST_PERIODS:
        return True
    columns = (columns - _slow(times, columns, width))[inner]
    target, waves = columns[:, 0], columns[:, 1:]
    folds = min(FOLDS, len(turns))
    missed = 0.0
    for fold in range(folds):
        out = turn * folds // len(turns) == fold
        rest = ~out
        gram = waves[rest].T @ waves[rest] + ridge * np.eye(waves.shape[1])
        guess = waves[out] @ np.linalg.solve(gram, waves[rest].T @ target[rest])
        missed += float(np.sum((target[out] - guess) ** 2))
    return missed < float(np.sum(target**2))


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
