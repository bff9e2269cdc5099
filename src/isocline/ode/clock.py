"""The user's time and the loop's."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Stretch(NamedTuple):
    """The part of a solve between two discontinuities, where the loop's clock starts anew.

    Attributes:
        start: when it starts, as time since the start of the whole solve.
        seen: the first and the last of the user's times that the field may see.
        passed: the same on the clock of a path, if one has breakpoints to keep to.
    """

    start: Float[Array, "*lanes"]
    seen: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]
    passed: tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]] | None


class Clock(NamedTuple):
    """How the user's time follows from the loop's, which runs forward from zero.

    Attributes:
        origin: the time at the start; one number, or one a lane.
        sign: the direction of time, +1.0 or -1.0 for all; or an array with one a lane.
        ahead: how long after the start of the clock of a path that is; None: they are the same.
        stretch: the part of the solve that is under way, if it has parts.
    """

    origin: Float[Array, "*lanes"]
    sign: Any
    ahead: Float[Array, "*lanes"] | None = None
    stretch: Stretch | None = None

    @property
    def hands(self) -> list[Any]:
        """The arrays that it needs."""
        return [leaf for leaf in jax.tree.leaves(self) if not isinstance(leaf, float)]

    def holding(self, hands: list[Any]) -> Clock:
        """The same clock with other hands."""
        leaves, tree = jax.tree.flatten(self)
        new = iter(hands)
        return tree.unflatten(leaf if isinstance(leaf, float) else next(new) for leaf in leaves)

    def directed(self, value: Any) -> Any:
        """A time or a slope on the loop's clock from one on the user's, or the other way."""
        if isinstance(self.sign, float):
            return value if self.sign > 0 else -value
        return self.sign.astype(value.dtype) * value

    def read(self, t: Float[Array, "*lanes"]) -> Float[Array, "*lanes"]:
        """The user's time."""
        if self.stretch is None:
            return self.origin + self.directed(t)
        return _held(self.origin + self.directed(self.stretch.start + t), self.stretch.seen)

    def passed(self, t: Float[Array, "*lanes"]) -> Float[Array, "*lanes"]:
        """The time on the clock of a path, which no distance from t=0 makes coarse."""
        elapsed = self.directed(t if self.stretch is None else self.stretch.start + t)
        elapsed = elapsed if self.ahead is None else self.ahead + elapsed
        within = None if self.stretch is None else self.stretch.passed
        return elapsed if within is None else _held(elapsed, within)


def _held(time: Float[Array, "*lanes"], within: tuple[Array, Array]) -> Float[Array, "*lanes"]:
    """Where it was held back the time still moves with the start, as far as gradients go."""
    return time + jax.lax.stop_gradient(jnp.clip(time, *within) - time)


def since(start: Any, ts: Any, dtype: Any) -> Array:
    """`ts - start`, subtracted in double precision where both are plain numbers."""
    if isinstance(ts, np.ndarray) and isinstance(start, (np.ndarray, np.generic)):
        return jnp.asarray(ts.astype(np.float64) - np.asarray(start, np.float64)[..., None], dtype)
    # Differences of what JAX holds are exact enough in its own dtype: near times differ exactly.
    return jnp.asarray(ts - jnp.asarray(start)[..., None], dtype)


def rounded_off(exact: Any, dtype: Any) -> Array | None:
    """What is left of plain numbers, where they are rounded to single precision; else None."""
    if dtype == jnp.float64 or not isinstance(exact, (np.ndarray, np.generic)):
        return None
    rest = exact.astype(np.float64) - exact.astype(dtype).astype(np.float64)
    return jnp.asarray(rest, dtype)
