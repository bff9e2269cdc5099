"""One step of a symplectic splitting: kicks of the momentum and drifts of the position."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..errors import InputError
from .field import Bound
from .step import Start
from .tableaus import Partitioned


def symplectic_step(
    method: Partitioned, bound: Bound, start: Start, h: Float[Array, "*lanes"]
) -> tuple[Float[Array, "size *lanes"], Float[Array, "stages size *lanes"]]:
    """Take one step from `start`, whose state is the position, and after it the momentum.

    The field is called with both, for one half of its value each time. Where it depends on time,
    kicks have the time that the drifts before them have come to, and drifts that of the kicks:
    the splitting of the system with two clocks, which has the same order.

    Returns:
        The new state, and the slopes at the start, on the average, and at the end.
    """
    t, y, f, _ = start
    half = y.shape[0] // 2
    q, p = y[:half], y[half:]
    acceleration = f[half:]
    velocities, accelerations = [], [acceleration]
    p = p + float(method.kicks[0]) * h * acceleration
    for index, drift in enumerate(method.drifts):
        velocity = bound(t + method.drift_times[index] * h, jnp.concatenate([q, p]))[:half]
        q = q + float(drift) * h * velocity
        acceleration = bound(t + method.kick_times[index + 1] * h, jnp.concatenate([q, p]))[half:]
        p = p + float(method.kicks[index + 1]) * h * acceleration
        velocities.append(velocity)
        accelerations.append(acceleration)
    end = jnp.concatenate([q, p])
    # The acceleration there is known: the last kick was given at this position and time.
    last = jnp.concatenate([bound(t + h, end)[:half], acceleration])
    mean = jnp.concatenate(
        [_weighted(method.drifts, velocities), _weighted(method.kicks, accelerations)]
    )
    return end, jnp.stack([f, mean, last])


def _weighted(
    weights: tuple, slopes: list[Float[Array, "half *lanes"]]
) -> Float[Array, "half *lanes"]:
    terms = [float(weight) * slope for weight, slope in zip(weights, slopes, strict=True)]
    return sum(terms[1:], terms[0])


def check_partitioned(method: Any, adjoint: str, y0: Any) -> None:
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
