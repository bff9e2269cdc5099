"""From a user's columns to standardised points and back, with the log-determinant of the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float

from isocline.errors import InputError

from .density_columns import Table, column_name, row_name

Rows = Float[np.ndarray, "rows columns"]
Bounds = dict[int, tuple[float | None, float | None]]
FAR = 1e4  # standard deviations, beyond which a solve may fail
_SINGULAR = 1e-10  # smallest eigenvalue of a correlation matrix


@dataclass(frozen=True)
class Scaling:
    """`y = (u - mean) @ matrix`: mean zero and no correlation; u is x, or of a bounded column
    `log(x - low)`, `-log(high - x)` or `log((x - low) / (high - x))`.

    Attributes:
        bounds: of columns by their place.
        mean, matrix: of the affine part.
    """

    bounds: Bounds
    mean: Float[np.ndarray, " columns"]
    matrix: Float[np.ndarray, "columns columns"]

    @classmethod
    def of(cls, table: Table, bounds: Bounds) -> Self:
        """The scaling after which a table has mean zero and the identity as covariance.

        Raises:
            InputError: columns depend on each other.
        """
        values, _ = _unbounded(table.values, bounds)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        correlation = np.atleast_2d(np.corrcoef(values, rowvar=False))
        eigenvalues, vectors = np.linalg.eigh(correlation)
        if eigenvalues[0] < _SINGULAR:
            weights = np.abs(vectors[:, 0])
            names = [table.column(int(index)) for index in np.flatnonzero(weights > 0.1)]
            raise InputError(
                f"{', '.join(names)} depend on each other linearly: they lie on a plane, and have "
                f"no density. Leave one of them out."
            )
        # Symmetric, so that uncorrelated columns stay themselves.
        root = vectors @ np.diag(eigenvalues**-0.5) @ vectors.T
        return cls(bounds, mean, root / spread[:, None])

    def points(self, x: Rows) -> tuple[Rows, Float[np.ndarray, " rows"]]:
        """Standardised points, and the log-determinant; minus infinity outside of the bounds."""
        values, change = _unbounded(x, self.bounds)
        return (values - self.mean) @ self.matrix, change + np.linalg.slogdet(self.matrix)[1]

    def columns(self, points: Rows) -> Rows:
        """The inverse of `points`."""
        values = np.linalg.solve(self.matrix.T, points.T).T + self.mean
        for index, (low, high) in self.bounds.items():
            values[:, index] = _bounded(values[:, index], low, high)
        return values


def _unbounded(x: Rows, bounds: Bounds) -> tuple[Rows, Float[np.ndarray, " rows"]]:
    values, change = np.array(x, np.float64), np.zeros(len(x))
    for index, (low, high) in bounds.items():
        # The distances to the bounds that there are, and the sign of their logarithm in u.
        gaps = [(x[:, index] - low, 1)] if low is not None else []
        gaps += [(high - x[:, index], -1)] if high is not None else []
        inside = np.all([gap > 0 for gap, _ in gaps], axis=0)
        logs = [(np.log(np.where(inside, gap, 1)), sign) for gap, sign in gaps]
        values[:, index] = sum(sign * log for log, sign in logs)
        width = np.log(high - low) if low is not None and high is not None else 0
        change = np.where(inside, change + width - sum(log for log, _ in logs), -np.inf)
    return values, change


def _bounded(u: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    if low is None:
        return high - np.exp(-u)
    if high is None:
        return low + np.exp(u)
    return low + (high - low) * 0.5 * (1 + np.tanh(u / 2))


def read_bounds(
    wanted: Mapping[Any, Any] | None, table: Table, name: Callable[[int], str] = row_name
) -> Bounds:
    """The bounds of columns by their place.

    Args:
        wanted: pairs by the name or the place of a column.
        table: whose values are to be inside.
        name: what a row is called in messages.

    Raises:
        InputError: no such column, no bounds, or a value outside of them.
    """
    found: Bounds = {}
    for key, pair in (wanted or {}).items():
        index = place_of(key, table.names, table.values.shape[1], "bounds")
        low, high = _read_pair(key, pair)
        values = table.values[:, index]
        outside = np.zeros(len(values), bool)
        outside |= (values <= low) if low is not None else False
        outside |= (values >= high) if high is not None else False
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise InputError(
                f"{table.column(index)} is {values[row]:g} in {name(row)}, which is not inside of "
                f"its bounds {pair!r}; {outside.sum()} rows are like that. A value on the bound "
                f"has no density: widen the bounds, or leave these rows out."
            )
        found[index] = (low, high)
    return found


def _read_pair(key: Any, pair: Any) -> tuple[float | None, float | None]:
    try:
        first, last = pair
        low = -np.inf if first is None else float(first)
        high = np.inf if last is None else float(last)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high or (low, high) == (-np.inf, np.inf):
        raise InputError(
            f"bounds: {key!r} has {pair!r}: a lower and an upper bound are needed, as (0, 1), or "
            f"(0, None) where there is only one."
        )
    return None if low == -np.inf else low, None if high == np.inf else high


def place_of(key: Any, names: Sequence[str] | None, size: int, setting: str) -> int:
    """The place of a column that a setting names by its name or number."""
    if names is not None and key in names:
        return names.index(key)
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool) and 0 <= key < size:
        return int(key)
    known = f"0 to {size - 1}" if names is None else ", ".join(names)
    raise InputError(f"{setting}: there is no column {key!r}; there are: {known}.")


def dequantized(table: Table, keys: Sequence[Any], seed: int) -> Table:
    """A table whose rounded columns are spread over the width of their rounding, by chance."""
    values, draw = table.values.copy(), np.random.default_rng(seed)
    for key in keys:
        index = place_of(key, table.names, values.shape[1], "dequantize")
        found = np.unique(values[:, index])
        if len(found) < 2:
            raise InputError(f"{column_name(table.names, index)} is constant: leave it out.")
        width = np.diff(found).min()
        values[:, index] += width * draw.uniform(-0.5, 0.5, len(values))
    return table._replace(values=values)


def tell_lost(lost: Bool[np.ndarray, " rows"], size: Float[np.ndarray, " rows"]) -> None:
    """Warn of rows too far out to compute with; others should not have failed.

    Args:
        lost: whose density was not found.
        size: the largest standardised value of each row.

    Raises:
        InputError: a row that is not far out was lost.
    """
    broken = np.flatnonzero(lost & (size < FAR))
    if len(broken):
        raise InputError(
            f"The density of {row_name(broken[0])} of X can not be computed: the solve of its way "
            f"failed (largest standardised value {size[broken[0]]:.3g}); {len(broken)} rows are "
            f"like that. Train longer, or ask for a looser tolerance."
        )
    if lost.any():
        warnings.warn(
            f"{lost.sum()} rows, {row_name(np.flatnonzero(lost)[0])} first, lie more than {FAR:g} "
            f"standard deviations from the data of fit, too far to compute with: their "
            f"log-density is given as minus infinity.",
            stacklevel=3,
        )
