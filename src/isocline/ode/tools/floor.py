"""The floor: what no solver can go below, the bare evaluations of the field and their VJPs."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .problem import Inputs, Problem


def bare_evaluations(problem: Problem, inputs: Inputs, count: int) -> PyTree:
    """So many evaluations of the field, each needing the one before, in a bare loop.

    Each is checkpointed, so a gradient evaluates it again and pulls a cotangent through, as an
    adjoint that keeps no stages must for every evaluation of an accepted step. The state moves by
    Euler steps over the span, so that it stays about where the solution is.

    Args:
        count: evaluations (of all trajectories at once, in an independent batch).

    Returns:
        The last state, in the structure of y0.
    """
    ts = jnp.atleast_2d(inputs.ts)[0]
    h = (ts[-1] - ts[0]) / count
    arrays, rest = eqx.partition(inputs.args, eqx.is_array)

    def field(t: Any, y: Any, arrays: Any) -> Any:
        return inputs.f(t, y, eqx.combine(arrays, rest))

    if problem.lanes is not None:
        axes = jax.tree.unflatten(jax.tree.structure(arrays), problem.axes)
        field = jax.vmap(field, in_axes=(None, 0, axes))
    field = jax.checkpoint(field)

    def body(y: Any, index: Any) -> tuple[Any, None]:
        slope = field(ts[0] + index * h, y, arrays)
        return jax.tree.map(lambda y, slope: y + h * slope, y, slope), None

    steps = jnp.arange(count, dtype=inputs.ts.dtype)
    return jax.lax.scan(body, inputs.y0, steps)[0]
