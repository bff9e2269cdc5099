"""Steps that are fixed beforehand: so many equal ones, or from one named point to the next."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .observe import entry


class Grid(eqx.Module):
    """Fixed steps, in time since the start.

    Attributes:
        steps: how many.
        points: their ends, from 0 on. None where all are equal: then there is nothing to keep,
            however many they are. Of a `Posed` problem its lanes come first, of a `Task` last.
    """

    steps: int = eqx.field(static=True)
    points: Float[Array, "..."] | None = None

    def begin(self, t1: Float[Array, "*lanes"], step: Int[Array, "*lanes"]) -> Array:
        """When a step begins, of a solve until t1."""
        if self.points is None:
            return t1 * (step.astype(t1.dtype) / self.steps)
        return entry(self.points, step)

    def end(self, t1: Float[Array, "*lanes"], step: Int[Array, "*lanes"]) -> Array:
        """When a step ends: the last one at t1, whatever rounding has left there."""
        following = jnp.minimum(step + 1, self.steps)
        return jnp.where(following == self.steps, t1, self.begin(t1, following))

    def every(self, t1: Float[Array, "*lanes"]) -> Float[Array, "points *lanes"]:
        """All points."""
        if self.points is not None:
            return self.points
        fractions = jnp.linspace(0, 1, self.steps + 1, dtype=t1.dtype)
        return fractions.reshape((-1,) + (1,) * t1.ndim) * t1
