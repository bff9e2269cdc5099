"""Seconds, measured so that noise hits all contestants alike."""

from __future__ import annotations

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


def interleaved(
    calls: dict[Any, Callable[[], Any]], repeats: int, shortest: float = 0.02
) -> dict[Any, Timing]:
    """Time each call, in turns.

    Args:
        calls: they must block until their work is done, and be compiled already.
        repeats: measurements of each; one of every call is taken before the next of any.
        shortest: a measurement repeats its call until it takes about this many seconds.
    """
    loops = {key: _loops(call, shortest) for key, call in calls.items()}
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    for turn in range(repeats):
        order = list(calls.items())
        # Who comes after whom changes, so that nobody always meets the same full caches.
        for key, call in order if turn % 2 == 0 else reversed(order):
            started = time.perf_counter()
            for _ in range(loops[key]):
                call()
            seconds[key].append((time.perf_counter() - started) / loops[key])
    return {
        key: Timing(*map(float, np.quantile(values, (0.5, 0.25, 0.75))), repeats)
        for key, values in seconds.items()
    }


def _loops(call: Callable[[], Any], shortest: float) -> int:
    started = time.perf_counter()
    call()
    once = time.perf_counter() - started
    if once >= shortest:
        return 1
    started = time.perf_counter()
    for _ in range(3):
        call()
    once = (time.perf_counter() - started) / 3
    return max(1, int(np.ceil(shortest / once)))
