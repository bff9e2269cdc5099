"""Seconds, measured so that noise hits all contestants alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Median and quartiles of the seconds of one call, and how many measurements there are."""

    median: float
    low: float
    high: float
    repeats: int


# Calls that take longer than this many seconds are measured in every third turn only.
SLOW = 1.0


def interleaved(
    calls: dict[Any, Callable[[], Any]], repeats: int, shortest: float = 0.02
) -> dict[Any, Timing]:
    """Time each call, in turns.

    Args:
        calls: they must block until their work is done, and be compiled already.
        repeats: measurements of each; one of every call is taken before the next of any.
        shortest: a measurement repeats its call until it takes about this many seconds.
    """
    once = {key: _once(call, shortest) for key, call in calls.items()}
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    for turn in range(repeats):
        order = [key for key in calls if once[key] < SLOW or turn % 3 == 0]
        # Who comes after whom changes, so that nobody always meets the same full caches.
        for key in order if turn % 2 == 0 else reversed(order):
            loops = max(1, math.ceil(shortest / once[key]))
            started = time.perf_counter()
            for _ in range(loops):
                calls[key]()
            seconds[key].append((time.perf_counter() - started) / loops)
    return {key: _timing(values) for key, values in seconds.items()}


def _timing(seconds: list[float]) -> Timing:
    median, low, high = map(float, np.quantile(seconds, (0.5, 0.25, 0.75)))
    return Timing(median, low, high, len(seconds))


def _once(call: Callable[[], Any], shortest: float) -> float:
    """About how long a call takes: of three, if they are short."""
    started = time.perf_counter()
    call()
    if (once := time.perf_counter() - started) >= shortest:
        return once
    started = time.perf_counter()
    for _ in range(3):
        call()
    return (time.perf_counter() - started) / 3
