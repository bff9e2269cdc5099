"""Sequences of events as arrays: in order, in units of the time that was watched, padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from isocline.errors import InputError
from isocline.models import Context, Target

LEAST_ROOM = 16  # for events of a sequence that is asked about, and for times
MOST_EVENTS = 50_000  # of a sequence: a third of what the highest rate of a model would give
MOST_ROOM = 50_000_000  # for events, of all sequences together
_NO_SEASON = 0


def padded(
    sequences: Sequence[ArrayLike], end: float, room: Callable[[int], int] = int
) -> tuple[Float[Array, "sequences events"], Bool[Array, "sequences events"]]:
    """Times in units of the end, in order, and which of them are there.

    There is `room` for as many as the longest sequence has, or more.

    Raises:
        InputError: a sequence is no list of times, one of them is not within 0 to the end, or there
            are too many.
    """
    rows = []
    if isinstance(sequences, str) or not np.iterable(sequences):
        raise InputError("sequences must be a list of lists of times.")
    for index, sequence in enumerate(sequences):
        row = _times_of(index, sequence)
        if not np.all((row >= 0) & (row <= end)):
            raise InputError(
                f"Sequence {index} (counted from 0) has an event outside of 0 to "
                f"{end:g}, or one that is not a number."
            )
        rows.append(row / end)
    counts = np.array([len(row) for row in rows], int)
    crowd = crowded(counts)
    if crowd is not None:
        raise InputError(
            f"Sequence {crowd[0]} (counted from 0) {crowd[1]}. Cut sequences into shorter ones."
        )
    most = room(max(int(counts.max(initial=0)), 1))
    there = np.arange(most) < counts[:, None]
    times = np.ones((len(rows), most), np.float32)
    times[there] = np.concatenate([np.empty(0), *rows])
    return jnp.asarray(times), jnp.asarray(there)


def crowded(counts: Int[np.ndarray, " sequences"]) -> tuple[int, str] | None:
    """The longest sequence, and what is said of it, if it has too many events to compute with."""
    longest = int(counts.max(initial=0))
    place = int(counts.argmax()) if longest else 0
    if longest > MOST_EVENTS:
        return place, f"has {longest:,} events, more than {MOST_EVENTS:,}"
    if longest * len(counts) > MOST_ROOM:
        return place, (
            f"has {longest:,} events, and each of all {len(counts):,} gets as much room: for more "
            f"than {MOST_ROOM:,} together"
        )
    return None


def roomy(count: int) -> int:
    """A power of two that is no less: sequences of all lengths share a few programs."""
    return 1 << (max(count, LEAST_ROOM) - 1).bit_length()


def _times_of(index: int, sequence: Any) -> Float[np.ndarray, " events"]:
    """In order."""
    try:
        row = np.asarray(sequence, float)
    except (TypeError, ValueError):
        row = np.empty((0, 0))
    if row.ndim != 1:
        raise InputError(
            f"Sequence {index} (counted from 0) is {sequence!r}: it must be a list of the times of "
            f"its events, as in [[0.5, 2.0], [1.5]]; one without events is []."
        )
    return np.sort(row)


def asked(
    times: Float[Array, "sequences events"], there: Bool[Array, "sequences events"]
) -> tuple[Context, Target]:
    """A sequence is read, and asked as well: the events, and the end of what was watched."""
    mask = there[:, :, None]
    # Attention averages over events: it would not know how many there were.
    number = jnp.log1p(jnp.sum(there, axis=1, dtype=times.dtype))
    values = mask * number[:, None, None]
    context = Context(times, values, mask, jnp.zeros((len(times), _NO_SEASON)))
    until = jnp.concatenate([times, jnp.ones((len(times), 1), times.dtype)], axis=1)
    events = jnp.concatenate([mask, jnp.zeros((len(times), 1, 1), bool)], axis=1)
    return context, Target(until, jnp.zeros(events.shape, times.dtype), events)
