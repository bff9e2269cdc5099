"""What flows are trained by: likelihood, flow matching, and the divergence from a known density."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import (
    AbstractRegularizer,
    AbstractTrace,
    ExactTrace,
    JacobianNorm,
    KineticEnergy,
)

from .flow import Contexts, Flow, HamiltonJacobi, Moved, OfPoints, Points
from .planar import PlanarFlow
from .solving import Solving

LATEST = 0.1  # of the way is left at the latest of the times that crowd towards the data
TOGETHER = 8  # points of a batch that have one time
END = 0.999  # of the way: nearer to the data the likelihoods of two ends differ by too many digits

Loss = tuple[Float[Array, ""], dict[str, Array]]


@dataclass(frozen=True)
class Learning:
    """How a continuous flow is solved while it learns.

    Attributes:
        solving: method and tolerance.
        trace: of the Jacobian.
        energy, jacobian: weights of RNODE's terms (Finlay et al. 2020), a point: the kinetic energy
            (OT-Flow's transport cost is half of it) and the Jacobian's norm.
        hamilton_jacobi: weight of OT-Flow's residual (Onken et al. 2021), of potential fields.
    """

    solving: Solving = Solving("tsit5", 1e-4, 1e-4)  # noqa: RUF009 - immutable
    trace: AbstractTrace = ExactTrace()  # noqa: RUF009 - immutable
    energy: float = 0.0
    jacobian: float = 0.0
    hamilton_jacobi: float = 0.0

    def options(self, flow: Flow, context: Contexts, key: PRNGKeyArray) -> dict[str, Any]:
        """Keyword arguments of `Flow.move`."""
        kept: list[AbstractRegularizer] = []
        if self.energy:
            kept.append(OfPoints(KineticEnergy(self.energy), flow.field, context))
        if self.jacobian:
            kept.append(OfPoints(JacobianNorm(self.jacobian), flow.field, context))
        if self.hamilton_jacobi:
            kept.append(HamiltonJacobi(self.hamilton_jacobi, flow.field, context))
        return {"solving": self.solving, "trace": self.trace, "key": key, "regularizers": kept}


def negative_log_likelihood(
    model: Flow | PlanarFlow, x: Points, context: Contexts, learning: Learning, key: PRNGKeyArray
) -> Loss:
    """The mean of -log p over points of the data, in nats, with the regularizers."""
    if isinstance(model, PlanarFlow):
        return -jnp.mean(model.log_prob(x, context)), {}
    found, moved = model.log_prob(x, context, **learning.options(model, context, key))
    return _with_penalty(-jnp.mean(found), moved)


def reverse_divergence(
    model: Flow | PlanarFlow,
    z: Points,
    target: Callable[[Points], Float[Array, " points"]],
    learning: Learning,
    key: PRNGKeyArray,
) -> Loss:
    """KL(model || target) from points of the normal, but for the target's unknown constant.

    Args:
        target: the logarithm of a density, up to a constant.
    """
    context = jnp.zeros((len(z), 0), z.dtype)
    if isinstance(model, PlanarFlow):
        found, x = model.push(z, context)
        return jnp.mean(found - target(x)), {}
    found, moved = model.push(z, context, **learning.options(model, context, key))
    return _with_penalty(jnp.mean(found - target(moved.points)), moved)


def _with_penalty(value: Array, moved: Moved) -> Loss:
    return value + moved.penalty, {"nfe": moved.nfe.astype(jnp.float32)}


def matching_times(key: PRNGKeyArray, count: int) -> Float[Array, " count"]:
    """Times to match velocities at: half of them anywhere, half crowded towards the data.

    An error of the velocity at time t is one of the score by `t / (1 - t)`: what happens late says
    most about the density (Song et al. 2021, "Maximum likelihood training"). Spread over a batch as
    evenly as can be.
    """
    shift, order = jax.random.split(key)
    even = (jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(shift)) / count
    # One half of the unit interval for each sort of time.
    late = 1 - LATEST ** (2 * even - 1)
    return jax.random.permutation(order, jnp.where(even < 0.5, 2 * END * even, late))


def flow_matching(
    model: Flow,
    x: Points,
    z: Points,
    context: Contexts,
    key: PRNGKeyArray,
    *,
    others: Points | None = None,
) -> Float[Array, ""]:
    """The mean of `|f(t, y) - v|^2` at `y = (1 - t) z + t x` (Lipman et al. 2023, eq. 9).

    No solve: pairs (z, x) of normal and data are joined by straight lines, and the field learns
    their mean velocity at y. Pairs from optimal transport hardly cross (Tong et al. 2024).

    Args:
        others: more points of the data. The velocity to match is then the mean of the lines through
            y that end at x, at another of the batch or at one of these, not that of the one line:
            with many of them the same field in the mean, and far less noise (the "stable targets"
            of Xu et al. 2023). For independent pairs without context.
    """
    # What a field makes of time alone it makes once for the points that share it, if they have no
    # context; whole batches learn as well from an eighth of the times.
    shared = math.gcd(len(x), TOGETHER) if not context.shape[1] else 1
    times = matching_times(key, len(x) // shared).astype(x.dtype)
    t = jnp.repeat(times, shared)
    y = (1 - t)[:, None] * z + t[:, None] * x
    velocities = x - z
    if others is not None:
        velocities += _mean_end(t, y, jnp.concatenate([x, others]), x) / (1 - t)[:, None]
    groups = (part.reshape(len(times), shared, -1) for part in (y, context))
    field = jax.vmap(jax.vmap(model.field, (None, 0, 0)))
    slopes = field(times, *groups).reshape(y.shape)
    return jnp.mean(jnp.sum((slopes - velocities) ** 2, axis=-1))


def _mean_end(t: Float[Array, " points"], y: Points, ends: Points, x: Points) -> Points:
    """E[end | y] - x, where any of the ends may have led to y with z of the normal.

    Their probabilities are those of `z = (y - t end) / (1 - t)`. Of `-|z|^2 / 2` the terms that all
    share are left out; what remains is a product of matrices.
    """
    scale = (t / (1 - t) ** 2)[:, None]
    half = jnp.sum(ends**2, axis=-1, keepdims=True) / 2
    scores = jnp.concatenate([scale * y, -scale * t[:, None]], axis=1) @ _beside(ends, half).T
    weights = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    # Sums of the weights come along with those of the ends: no pass of their own over them all.
    sums = weights @ _beside(ends, jnp.ones_like(half))
    return sums[:, :-1] / sums[:, -1:] - x


def _beside(ends: Points, column: Float[Array, "points 1"]) -> Float[Array, "points more"]:
    return jnp.concatenate([ends, column], axis=1)
