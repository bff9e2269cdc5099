"""The user's time and the loop's."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Stretch(NamedTuple):
    """The part of a solve between two discontinuities, where the loop's clock starts anew.

    Attributes:
        start: when it starts, as time since the start of the whole solve.
        low, high: the user's times that the field may see.
    """

    start: Float[Array, "*lanes"]
    low: Float[Array, "*lanes"]
    high: Float[Array, "*lanes"]


class Clock(NamedTuple):
    """How the user's time follows from the loop's, which runs forward from zero.

    Attributes:
        origin: the time at the start; one number, or one a lane.
        sign: the direction of time, +1.0 or -1.0 for all; or an array with one a lane.
        stretch: the part of the solve that is under way, if it has parts.
    """

    origin: Float[Array, "*lanes"]
    sign: Any
    stretch: Stretch | None = None

    @property
    def hands(self) -> list[Any]:
        """The arrays that it needs."""
        sign = [] if isinstance(self.sign, float) else [self.sign]
        return [self.origin, *sign, *(self.stretch or ())]

    def holding(self, hands: list[Any]) -> Clock:
        """The same clock with other hands."""
        origin, *rest = hands
        sign = self.sign if isinstance(self.sign, float) else rest.pop(0)
        return Clock(origin, sign, Stretch(*rest) if rest else None)

    def directed(self, value: Any) -> Any:
        """A time or a slope on the loop's clock from one on the user's, or the other way."""
        if isinstance(self.sign, float):
            return value if self.sign > 0 else -value
        return self.sign.astype(value.dtype) * value

    def read(self, t: Float[Array, "*lanes"]) -> Float[Array, "*lanes"]:
        """The user's time."""
        if self.stretch is None:
            return self.origin + self.directed(t)
        start, low, high = self.stretch
        time = self.origin + self.directed(start + t)
        # Where it was held back the time still moves with the start, as far as gradients go.
        return time + jax.lax.stop_gradient(jnp.clip(time, low, high) - time)
