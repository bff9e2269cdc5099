"""One step of a symplectic splitting: kicks of the momentum and drifts of the position."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import InputError
from .step import Field, Step
from .tableaus import Partitioned, Tableau


def symplectic_step(
    method: Partitioned,
    field: Field,
    params: Any,
    start: tuple[Float[Array, " lanes"], Float[Array, "lanes size"], Float[Array, "lanes size"]],
    h: Float[Array, " lanes"],
) -> Step:
    """Take one step from `start = (t, y, f(t, y))`; y is the position, and after it the momentum.

    The field is called with both, for one half of its value each time. Where it depends on time,
    kicks have the time that the drifts before them have come to, and drifts that of the kicks:
    the splitting of the system with two clocks, which has the same order.

    Returns:
        The new state, and the slopes at the start, on the average, and at the end.
    """
    t, y, f = start
    half = y.shape[1] // 2
    q, p = y[:, :half], y[:, half:]
    acceleration = f[:, half:]
    velocities, accelerations = [], [acceleration]
    p = p + float(method.kicks[0]) * h[:, None] * acceleration
    for index, drift in enumerate(method.drifts):
        state = jnp.concatenate([q, p], axis=1)
        velocity = _velocity(field(t + method.drift_times[index] * h, state, params))
        q = q + float(drift) * h[:, None] * velocity
        state = jnp.concatenate([q, p], axis=1)
        acceleration = _acceleration(field(t + method.kick_times[index + 1] * h, state, params))
        p = p + float(method.kicks[index + 1]) * h[:, None] * acceleration
        velocities.append(velocity)
        accelerations.append(acceleration)
    end = jnp.concatenate([q, p], axis=1)
    # The acceleration there is known: the last kick was given at this position and time.
    last = jnp.concatenate([_velocity(field(t + h, end, params)), acceleration], axis=1)
    mean = jnp.concatenate(
        [_weighted(method.drifts, velocities), _weighted(method.kicks, accelerations)], axis=1
    )
    return Step(end, jnp.stack([f, mean, last]))


def _velocity(slope: Float[Array, "lanes size"]) -> Float[Array, "lanes half"]:
    """The first half of the slope."""
    # A single row is cut as a vector: only so does XLA see that the other half is not wanted.
    half = slope.shape[1] // 2
    return slope[0][:half][None] if slope.shape[0] == 1 else slope[:, :half]


def _acceleration(slope: Float[Array, "lanes size"]) -> Float[Array, "lanes half"]:
    """The second half of the slope."""
    half = slope.shape[1] // 2
    return slope[0][half:][None] if slope.shape[0] == 1 else slope[:, half:]


def _weighted(
    weights: tuple, slopes: list[Float[Array, "lanes half"]]
) -> Float[Array, "lanes half"]:
    terms = [float(weight) * slope for weight, slope in zip(weights, slopes, strict=True)]
    return sum(terms[1:], terms[0])


def check_partitioned(method: Tableau, adjoint: str, y0: Any) -> None:
    """Whether the state is a pair of position and momentum, where the method needs one.

    Raises:
        InputError: the state is no such pair, or the adjoint does not go with the method.
    """
    if not isinstance(method, Partitioned):
        return
    pair = y0 if isinstance(y0, tuple | list) and len(y0) == 2 else None
    shapes = None if pair is None else [jax.tree.map(jnp.shape, part) for part in pair]
    if shapes is None or shapes[0] != shapes[1]:
        raise InputError(
            f"method={method.name!r} needs y0=(position, momentum), two of the same structure and "
            f"shapes; got {jax.tree.map(jnp.shape, y0)}."
        )
    if adjoint == "backsolve":
        raise InputError(
            f"adjoint='backsolve' does not go with method={method.name!r}, because the adjoint "
            "equation is no separable system: use adjoint='replay', or another method."
        )
