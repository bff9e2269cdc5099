"""Rows of save times of different lengths, or masked ones: filled up, and taken out again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree

from ..errors import InputError
from .arguments import is_traced
from .solution import Solution

There = Bool[np.ndarray, "*batch times"]


def filled(ts: Any) -> tuple[Any, There | None]:
    """Save times with another time of their row for those that there are not, and which there are.

    Args:
        ts: as `solve` was given it: rows of different lengths in a list, a masked array, or
            anything else, which stays as it is.

    Raises:
        InputError: a row has no time at all.
    """
    if isinstance(ts, (list, tuple)) and not is_traced(ts):
        ts = _as_masked(ts)
    if not isinstance(ts, np.ma.MaskedArray) or not np.ma.is_masked(ts):
        return ts, None
    there = ~np.ma.getmaskarray(ts)
    empty = np.flatnonzero(~np.atleast_2d(there).any(axis=-1))
    if empty.size:
        raise InputError(f"row {empty[0]} of ts (counted from 0) has no time that is not masked.")
    # The time before, or else the first one: so none turns back, and no solve is longer.
    place = np.where(there, np.arange(there.shape[-1]), 0)
    place = np.maximum.accumulate(place, axis=-1)
    place = np.maximum(place, there.argmax(axis=-1)[..., None])
    return np.take_along_axis(np.asarray(ts.data), place, axis=-1), there


def _as_masked(ts: list | tuple) -> Any:
    """Rows of different lengths as a masked array; anything else as it is."""
    if not all(map(_is_row, ts)):
        return ts
    lengths = [len(row) for row in ts]
    if len(set(lengths)) < 2:
        return ts
    masked = np.ma.masked_all((len(ts), max(lengths)))
    for row, own in zip(masked, ts, strict=True):
        row[: len(own)] = own
    return masked


def _is_row(row: Any) -> bool:
    if isinstance(row, (list, tuple)):
        return all(np.ndim(entry) == 0 for entry in row)
    return isinstance(row, (np.ndarray, jax.Array)) and row.ndim == 1


def taken_out(solution: Solution, there: There | None, batched: bool) -> Solution:
    """The solution with NaN for save times that there are not, and for the values at them.

    Args:
        batched: whether there is an axis of trajectories, which save times may share.
    """
    if there is None:
        return solution
    ts, ys = (without_missing(tree, there, batched) for tree in (solution.ts, solution.ys))
    return replace(solution, ts=ts, ys=ys)


def without_missing(tree: PyTree[Array], there: There, batched: bool) -> PyTree[Array]:
    """Arrays with an axis of times, `(*batch, times, ...)`, with NaN for times there are not."""
    there = there[None] if batched and there.ndim == 1 else there

    def known(leaf: Array) -> Array:
        mask = there.reshape(there.shape + (1,) * (leaf.ndim - there.ndim))
        return jnp.where(mask, leaf, jnp.nan)

    return jax.tree.map(known, tree)
