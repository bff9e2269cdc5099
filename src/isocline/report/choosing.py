"""What is shown of more than a page can show: even choices, so that nobody picks cherries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

MOST_PANELS = 24
MOST_BACKTESTS = 12
MOST_ORIGINS = 4


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def pairs(names: Sequence[str], channels: Sequence[str], most: int) -> list[tuple[str, str]]:
    """Series and channel of each panel: all channels of a few series."""
    shown = evenly(channels, most)
    return [(n, c) for n in evenly(names, max(1, most // max(1, len(shown)))) for c in shown]


def apart(origins: np.ndarray, distance: float, most: int = MOST_ORIGINS) -> np.ndarray:
    """The latest origins whose forecasts do not overlap, in increasing order."""
    kept: list[float] = []
    for origin in sorted(np.unique(origins), reverse=True):
        if len(kept) < most and (not kept or kept[-1] - origin >= distance * (1 - 1e-9)):
            kept.append(float(origin))
    return np.array(kept[::-1])
