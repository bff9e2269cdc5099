"""Initial value problems to measure on: a vector field in JAX with its data as NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True, eq=False)
class Problem:
    """`dy/dt = field(t, y, args)` from `t0` to `t1`.

    Attributes:
        kind: names the field; other frameworks look up their own version of it.
        lanes: the first axis of `y0` and of every leaf of `args` counts independent trajectories,
            and `field` sees one of them.
        stiff: explicit methods are out of place.
        scale: typical size of each component, for absolute tolerances and the error (1: all alike).
    """

    kind: str
    field: Callable[[Any, Any, Any], Any]
    y0: np.ndarray
    args: Any
    t0: float
    t1: float
    lanes: bool = False
    stiff: bool = False
    scale: Any = 1.0

    def arrays(self, dtype: str) -> tuple[jax.Array, Any]:
        """The initial state and the parameters in JAX, in a dtype."""
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (self.y0, self.args))

    def batched_field(self) -> Callable[[Any, Any, Any], Any]:
        """The field of all trajectories at once, with one clock."""
        return jax.vmap(self.field, in_axes=(None, 0, 0)) if self.lanes else self.field


def mlp(sizes: tuple[int, ...], batch: int, t1: float = 4.0, gain: float = 2.0) -> Problem:
    """A tanh MLP with random weights as the field of a coupled batch."""
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(0, gain / np.sqrt(fan_in), (fan_in, fan_out)), rng.normal(0, 0.2, fan_out))
        for fan_in, fan_out in itertools.pairwise(sizes)
    ]
    y0 = rng.normal(0, 1, (batch, sizes[0]))
    return Problem("mlp", mlp_field, y0[0] if batch == 1 else y0, layers, 0.0, t1)


def mlp_field(_t: Any, y: Any, layers: Any) -> Any:
    """The MLP; time does not enter."""
    for weight, bias in layers[:-1]:
        y = jnp.tanh(y @ weight + bias)
    weight, bias = layers[-1]
    return y @ weight + bias
