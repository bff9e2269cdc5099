"""The divergence of a vector field at one point: exact, or estimated with noise that a solve keeps.

The trace of the Jacobian is what the log-density of a continuous normalizing flow changes by (Chen
et al. 2018, theorem 1). Fields that know it in closed form give it with their slope.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.errors import InputError

Point = Float[Array, " size"]
Noise = Float[Array, "vectors size"]


class AbstractFlowField(eqx.Module):
    """`dz/dt = f(t, z, context)` of one point; `context` may have no entries."""

    @abstractmethod
    def __call__(self, t: Float[Array, ""], z: Point, context: Float[Array, " context"]) -> Point:
        """The slope."""

    def with_divergence(
        self, t: Float[Array, ""], z: Point, context: Float[Array, " context"]
    ) -> tuple[Point, Float[Array, ""]]:
        """The slope and its exact divergence: by as many Jacobian-vector products as components."""
        slope, push = jax.linearize(lambda z: self(t, z, context), z)
        return slope, jnp.trace(jax.vmap(push)(jnp.eye(z.size, dtype=z.dtype)))


class AbstractTrace(eqx.Module):
    """A way to the divergence."""

    def noise(self, points: int, size: int, dtype: jnp.dtype, key: PRNGKeyArray | None) -> Array:
        """What stays fixed within a solve: for each point so many vectors, none by default."""
        return jnp.zeros((points, 0, size), dtype)

    @abstractmethod
    def __call__(
        self, field: AbstractFlowField, t: Array, z: Point, context: Array, noise: Noise
    ) -> tuple[Point, Float[Array, ""]]:
        """Slope and divergence at one point."""


class ExactTrace(AbstractTrace):
    """In closed form where the field has one, else from the whole Jacobian."""

    def __call__(self, field, t, z, context, noise):
        return field.with_divergence(t, z, context)


def _signs(points: int, vectors: int, size: int, dtype: jnp.dtype, key: PRNGKeyArray | None):
    if key is None:
        raise InputError(
            "key=None, but this trace is estimated with noise: give a new key=jax.random.key(...) "
            "to each solve, or use ExactTrace()."
        )
    return jax.random.rademacher(key, (points, vectors, size), dtype)


class Hutchinson(AbstractTrace):
    """The mean of `e^T J e` over random signs e (Hutchinson 1990; FFJORD, Grathwohl et al. 2019).

    Attributes:
        vectors: so many Jacobian-vector products an evaluation.
    """

    vectors: int = eqx.field(static=True, default=1)

    def noise(self, points, size, dtype, key):
        return _signs(points, self.vectors, size, dtype, key)

    def __call__(self, field, t, z, context, noise):
        slope, push = jax.linearize(lambda z: field(t, z, context), z)
        return slope, _mean_form(push, noise)


class HutchPlusPlus(AbstractTrace):
    """Hutch++ (Meyer et al. 2021): exact on the range of a sketch, Hutchinson on what is left.

    Exact where the Jacobian's rank is at most `vectors`. The basis of the sketch is held constant
    in derivatives: the estimate is unbiased for any basis that its noise has no part in.

    Attributes:
        vectors: of the sketch and of the noise; three times as many products an evaluation.
    """

    vectors: int = eqx.field(static=True, default=1)

    def noise(self, points, size, dtype, key):
        return _signs(points, 2 * self.vectors, size, dtype, key)

    def __call__(self, field, t, z, context, noise):
        slope, push = jax.linearize(lambda z: field(t, z, context), z)
        sketch, rest = noise[: self.vectors], noise[self.vectors :]
        basis = jnp.linalg.qr(jax.lax.stop_gradient(jax.vmap(push)(sketch)).T)[0].T
        basis = jax.lax.stop_gradient(basis)
        rest = rest - (rest @ basis.T) @ basis
        return slope, len(basis) * _mean_form(push, basis) + _mean_form(push, rest)


def _mean_form(push: Callable[[Point], Point], vectors: Noise) -> Float[Array, ""]:
    """The mean of `v^T J v`."""
    return jnp.sum(jax.vmap(push)(vectors) * vectors) / len(vectors)


TRACES: dict[str, Callable[[], AbstractTrace]] = {
    "exact": ExactTrace,
    "hutchinson": Hutchinson,
    "hutch++": HutchPlusPlus,
}
