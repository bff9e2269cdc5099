"""A logarithm where values grow by factors: chosen on training rows, undone in every forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from isocline.data import SeriesTable

SHIFTS = (0.01, 0.1, 1.0)  # of the median of a channel's values: candidates
GAIN = 0.1  # nats a change, below which values stay as they are
MOST_ZEROS = 0.1
FEWEST = 10  # values of a channel


@dataclass(frozen=True)
class Transform:
    """Of one channel: `log(x + shift)`, or nothing.

    Attributes:
        shift: None for nothing.
    """

    shift: float | None = None

    def forward(self, values: Float[np.ndarray, "*cells"]) -> Float[np.ndarray, "*cells"]:
        """What the model sees; values below minus half of the shift count as that."""
        if self.shift is None:
            return values
        # New data may go below all that was seen.
        return np.log(np.maximum(values + self.shift, self.shift / 2))

    def inverse(self, seen: Float[np.ndarray, "*cells"]) -> Float[np.ndarray, "*cells"]:
        """Values in the units of the file."""
        if self.shift is None:
            return seen
        return np.exp(np.minimum(seen, 700.0)) - self.shift


def choose_transforms(table: SeriesTable) -> tuple[Transform, ...]:
    """A transform for each channel of a table of training rows.

    A logarithm is chosen where it makes the changes from a row to the next far more alike: by the
    likelihood of a Laplace distribution of them, with the Jacobian. Channels with a negative value
    or many zeros stay as they are.
    """
    return tuple(_choose(table, channel) for channel in range(len(table.channels)))


def forward(
    transforms: Sequence[Transform], values: Float[np.ndarray, "*cells channels"]
) -> Float[np.ndarray, "*cells channels"]:
    """The values of every channel as the model sees them; without transforms, as they are."""
    if not transforms:
        return values
    columns = np.moveaxis(values, -1, 0)
    seen = [one.forward(column) for one, column in zip(transforms, columns, strict=True)]
    return np.stack(seen, axis=-1)


def transformed(table: SeriesTable, transforms: Sequence[Transform]) -> SeriesTable:
    """A table of what the model sees."""
    return table.with_series(
        [one.rows(slice(None), forward(transforms, one.values)) for one in table.series]
    )


def candidates(table: SeriesTable, channel: int) -> list[Transform]:
    """The logarithms that a channel may have: none with a negative value or many zeros."""
    values = np.concatenate(_observed(table, channel))
    if len(values) < FEWEST or values.min() < 0 or np.mean(values == 0) > MOST_ZEROS:
        return []
    middle = float(np.median(values))
    return [Transform(middle * part) for part in SHIFTS] if middle > 0 else []


def _observed(table: SeriesTable, channel: int) -> list[np.ndarray]:
    columns = [one.values[:, channel] for one in table.series]
    return [column[np.isfinite(column)] for column in columns]


def _choose(table: SeriesTable, channel: int) -> Transform:
    columns = _observed(table, channel)
    scores = {one: _likelihood(columns, one) for one in candidates(table, channel)}
    if not scores:
        return Transform()
    best = max(scores, key=lambda one: scores[one])
    plain = _likelihood(columns, Transform())
    return best if scores[best] > plain + GAIN else Transform()


def _likelihood(columns: Sequence[np.ndarray], transform: Transform) -> float:
    """Of the changes of all series, in nats a change, each series with its own scale."""
    total, count = 0.0, 0
    for column in columns:
        if len(column) < 3:
            continue
        change = np.abs(np.diff(transform.forward(column)))
        slope = 0.0 if transform.shift is None else -np.log(column[1:] + transform.shift).sum()
        total += slope - len(change) * np.log(max(float(change.mean()), 1e-12))
        count += len(change)
    return total / max(count, 1)
