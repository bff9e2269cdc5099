"""The stages of one step, written out for who wants to look at them: tools and regularizers.

The loop has a step of its own, which is fast; this one keeps every point and every slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from .tableaus import Tableau


class Stages(NamedTuple):
    """Where a step evaluated the field, and what it found there."""

    times: Float[Array, " stages"]
    points: Float[Array, "stages size"]
    slopes: Float[Array, "stages size"]


def stages_of(
    tableau: Tableau,
    slope: Callable[[Float[Array, ""], Float[Array, " size"]], Float[Array, " size"]],
    t: Float[Array, ""],
    row: Float[Array, " size"],
    h: Float[Array, ""],
) -> Stages:
    """The stages of a step of size h from (t, row), without those of dense output.

    The last point is the new state, and the last slope the field there.
    """
    times, points, slopes = [], [], []
    for stage in range(tableau.stages):
        times.append(t + float(tableau.nodes[stage]) * h)
        terms = [
            float(weight) * past
            for weight, past in zip(tableau.matrix[stage], slopes, strict=False)
            if weight
        ]
        points.append(row + h * sum(terms[1:], terms[0]) if terms else row)
        slopes.append(slope(times[-1], points[-1]))
    return Stages(jnp.stack(times), jnp.stack(points), jnp.stack(slopes))


def error_of(
    tableau: Tableau, slopes: Float[Array, "stages size"], h: Float[Array, ""]
) -> Float[Array, " size"]:
    """The embedded error estimate of a step (the first, for the 8(5,3) pair)."""
    return h * jnp.asarray(tableau.b_error, slopes.dtype) @ slopes
