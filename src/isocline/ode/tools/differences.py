"""Derivatives along random directions by finite differences, as a reference without autodiff.

Central differences at step sizes that halve, extrapolated to zero (Ridders 1982, "Accurate
computation of F'(x) and F'(x)F''(x)"): the entry that its neighbours agree with best is taken, and
what they disagree by is its uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from .problem import Inputs

LEVELS = 5
LARGEST = 2.0**-4  # of the size of an array: the largest step


class Derivative(NamedTuple):
    """A derivative along a direction, and by how much it may be wrong."""

    value: float
    uncertainty: float


def random_directions(inputs: Inputs, group: str, count: int, seed: int) -> list[Any]:
    """Perturbations of the arrays of one group: lists of float64 arrays, in the order of leaves.

    They are so short that the largest difference takes `2 ** (LEVELS - 1)` of them, and all their
    multiples up to that are added to the arrays without rounding.
    """
    leaves = jax.tree.leaves(eqx.filter(getattr(inputs, group), eqx.is_inexact_array))
    random = np.random.default_rng(seed)
    make = _moved_times if group == "ts" else _moved
    return [[make(random, np.asarray(leaf)) for leaf in leaves] for _ in range(count)]


def _moved(random: np.random.Generator, leaf: np.ndarray) -> np.ndarray:
    scale = float(np.sqrt(np.mean(np.square(leaf, dtype=np.float64)))) if leaf.size else 0.0
    return _quantised(random.normal(size=leaf.shape) * (scale or 1.0) * LARGEST, leaf)


def _moved_times(random: np.random.Generator, ts: np.ndarray) -> np.ndarray:
    """Times keep their order, and those that are equal stay so."""
    different, index = np.unique(ts, return_inverse=True)
    gap = float(np.min(np.diff(different))) if different.size > 1 else 1.0
    moves = random.uniform(-1, 1, different.shape)[index.reshape(ts.shape)]
    return _quantised(moves * gap * LARGEST, ts)


def _quantised(largest: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """The shortest step, a multiple of the spacing of numbers as large as the array's."""
    times = 2 ** (LEVELS - 1)
    reach = np.abs(np.asarray(leaf, np.float64)) + np.abs(largest)
    spacing = np.spacing(np.maximum(reach, np.finfo(leaf.dtype).tiny).astype(leaf.dtype))
    spacing = 2 * np.asarray(spacing, np.float64)
    return np.round(largest / times / spacing) * spacing


def along(value: Callable[[list[Any]], float], leaves: list[Any], direction: list[Any]):
    """The derivative of `value(leaves)` along a direction (see `random_directions`)."""
    steps = [2.0**level for level in range(LEVELS - 1, -1, -1)]

    def at(step: float) -> float:
        moved = [
            (np.asarray(leaf, np.float64) + step * move).astype(leaf.dtype)
            for leaf, move in zip(leaves, direction, strict=True)
        ]
        return float(value(moved))

    return extrapolated([(at(step) - at(-step)) / (2 * step) for step in steps])


def extrapolated(quotients: list[float]) -> Derivative:
    """Ridders' table over central differences whose steps halve."""
    best, row = Derivative(quotients[-1], np.inf), [quotients[0]]
    for quotient in quotients[1:]:
        previous, row = row, [quotient]
        for order, before in enumerate(previous, start=1):
            factor = 4.0**order
            row.append((factor * row[-1] - before) / (factor - 1))
            uncertainty = max(abs(row[-1] - row[-2]), abs(row[-1] - before))
            if uncertainty < best.uncertainty:
                best = Derivative(row[-1], uncertainty)
    return best
