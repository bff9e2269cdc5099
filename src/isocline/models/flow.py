"""Continuous normalizing flows (Chen et al. 2018, sec. 4): a solve as a change of variables.

Points of a standard normal at time 0 are carried by a field to points of the data at time 1, and
the logarithm of their density changes by minus the integral of the field's divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import (
    AbstractFlowField,
    AbstractIntegral,
    AbstractRegularizer,
    AbstractTrace,
    ExactTrace,
    regularized_solve,
)
from isocline.ode import solve

from .solving import Solving

Points = Float[Array, "points size"]
Contexts = Float[Array, "points context"]


class Moved(NamedTuple):
    """Points after a solve.

    Attributes:
        points: where they end.
        change: the integral of the divergence along the way, in the direction of the way.
        nfe: evaluations of the field, of each point or of all together.
        failed: where the solve did not reach its end.
        penalty: of the regularizers, a point.
    """

    points: Points
    change: Float[Array, " points"]
    nfe: Array
    failed: Array
    penalty: Float[Array, ""]


def base_log_prob(z: Points) -> Float[Array, " points"]:
    """The log-density of a standard normal."""
    return -0.5 * jnp.sum(z**2, axis=-1) - 0.5 * z.shape[-1] * jnp.log(2 * jnp.pi)


class _Augmented(eqx.Module):
    """The field of a state of points and log-densities."""

    field: AbstractFlowField
    trace: AbstractTrace

    def __call__(self, t: Any, state: Any, args: Any) -> Any:
        one = partial(self.trace, self.field, t)
        # One point of an independent batch, or all points of a coupled one.
        return (jax.vmap(one) if state[0].ndim == 2 else one)(state[0], *args)


class OfPoints(AbstractIntegral):
    """A regularizer of the points alone, not of their log-densities; its weight is for a point.

    Attributes:
        inner: the regularizer.
        context: of the points.
    """

    inner: AbstractIntegral
    weight: Any
    field: AbstractFlowField
    context: Contexts

    def __init__(self, inner: AbstractIntegral, field: AbstractFlowField, context: Contexts):
        self.inner, self.field, self.context = inner, field, context
        self.weight = inner.weight / len(context)

    def noise(self, y0, key):
        return self.inner.noise(y0[0], key)

    def integrand(self, t, y, slope, f, noise):
        # Not through f: its derivatives would be those of the divergence as well.
        def points_only(t: Any, z: Any) -> Any:
            return jax.vmap(lambda z, context: self.field(t, z, context))(z, self.context)

        return self.inner.integrand(t, y[0], slope[0], points_only, noise)


class HamiltonJacobi(AbstractIntegral):
    """`integral of |dPhi/dt - |grad Phi|^2 / 2| dt` of a potential flow (OT-Flow, eq. 11)."""

    weight: Any
    field: Any
    context: Contexts

    def __init__(self, weight: Any, field: Any, context: Contexts):
        self.weight, self.field, self.context = weight / len(context), field, context

    def integrand(self, t, y, slope, f, noise):
        return jnp.sum(jax.vmap(partial(self.field.residual, t))(y[0], self.context))


class Flow(eqx.Module):
    """A continuous normalizing flow of standardised points.

    Attributes:
        field: `f(t, z, context)` of one point.
        size: components of a point.
    """

    field: AbstractFlowField
    size: int = eqx.field(static=True)

    def move(
        self,
        points: Points,
        context: Contexts,
        *,
        to_data: bool,
        solving: Solving,
        trace: AbstractTrace = ExactTrace(),  # noqa: B008 - immutable
        key: PRNGKeyArray | None = None,
        regularizers: Sequence[AbstractRegularizer] = (),
        independent: bool = False,
    ) -> Moved:
        """Carry points from the normal to the data, or back.

        Args:
            points, context: row by row.
            to_data: the direction.
            solving: method and tolerance.
            trace: how the divergence is found.
            key: of the noise of trace and regularizers, the same all the way.
            regularizers: integrals whose penalty comes along; not for independent points.
            independent: each point has its own steps, so it does not depend on those beside it.
        """
        noise_key, penalty_key = (None, None) if key is None else jax.random.split(key)
        noise = trace.noise(len(points), self.size, points.dtype, noise_key)
        ts = jnp.asarray([0.0, 1.0] if to_data else [1.0, 0.0], points.dtype)
        state = (points, jnp.zeros(len(points), points.dtype))
        f, args = _Augmented(self.field, trace), (context, noise)
        options = solving.options()
        if independent:
            options |= {"batch": "independent", "args_axes": 0}
        penalty = jnp.zeros((), points.dtype)
        if regularizers:
            found = regularized_solve(
                f, state, ts, args, regularizers=regularizers, key=penalty_key, **options
            )
            solution, penalty = found.solution, found.penalty
        else:
            solution = solve(f, state, ts, args, **options)
        last = (slice(None), -1) if independent else -1
        ends, change = (leaf[last] for leaf in solution.ys)
        return Moved(ends, change, solution.stats.nfe, ~solution.success, penalty)

    def log_prob(self, x: Points, context: Contexts, **options: Any) -> tuple[Array, Moved]:
        """The log-density of points of the data, and how they moved; `options` as in `move`."""
        moved = self.move(x, context, to_data=False, **options)
        return base_log_prob(moved.points) + moved.change, moved

    def push(self, z: Points, context: Contexts, **options: Any) -> tuple[Array, Moved]:
        """The log-density at the ends of points of the normal, and the ends."""
        moved = self.move(z, context, to_data=True, **options)
        return base_log_prob(z) - moved.change, moved
