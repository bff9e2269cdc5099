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
MOST_ROWS = 10_000  # the latest; more would not say more


def season_shows(
    times: Float[np.ndarray, " times"],
    values: Float[np.ndarray, " times"],
    waves: Float[np.ndarray, "times coefficients"],
    period: float,
    ridge: float,
) -> bool:
    """Whether waves of a period, fitted to some of its turns, tell the others better than nothing.

    Both values and waves are taken less the straight line through the period around each time. Of a
    series too short to say, yes.
    """
    times, values, waves = times[-MOST_ROWS:], values[-MOST_ROWS:], waves[-MOST_ROWS:]
    # Without whole periods around them the first and last rows keep some of what is slow.
    inner = (times - times[0] >= period / 2) & (times[-1] - times >= period / 2)
    turns = np.floor((times - times[0] - period / 2)[inner] / period).astype(int)
    if len(np.unique(turns)) < FEWEST_PERIODS:
        return True
    columns = np.column_stack([values, waves])
    columns = (columns - _slow(times, columns, period))[inner]
    target, waves = columns[:, 0], columns[:, 1:]
    fold = turns * min(FOLDS, turns[-1] + 1) // (turns[-1] + 1)
    missed = 0.0
    for k in np.unique(fold):
        out, rest = fold == k, fold != k
        gram = waves[rest].T @ waves[rest] + ridge * np.eye(waves.shape[1])
        guess = waves[out] @ np.linalg.solve(gram, waves[rest].T @ target[rest])
        missed += float(np.sum((target[out] - guess) ** 2))
    return missed < float(np.sum(target**2))


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
