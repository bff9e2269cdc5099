"""The stages of steps that were accepted, one by one, with the field's VJP at each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ..stages import Stages, stages_of
from ..tableaus import METHODS, Tableau
from .problem import Problem


class Local(NamedTuple):
    """The field of one trajectory on rows, with what it reads apart.

    Attributes:
        slope: `(t, row, reads) -> row`.
        reads: the floating arrays of `(args, f)`.
        unravel: from a row to the user's state.
    """

    slope: Callable[[Float[Array, ""], Float[Array, " size"], Any], Float[Array, " size"]]
    reads: Any
    row: Float[Array, " size"]
    unravel: Callable


def local_field(problem: Problem) -> Local:
    """The field of a problem with one trajectory (or a coupled batch)."""
    row, unravel = ravel_pytree(problem.inputs.y0)
    reads, rest = eqx.partition((problem.inputs.args, problem.inputs.f), eqx.is_inexact_array)

    def slope(t, row, reads):
        args, f = eqx.combine(reads, rest)
        return ravel_pytree(f(t, unravel(row), args))[0]

    return Local(slope, reads, row, unravel)


def stage_points(
    method: Any, local: Local, t: Float[Array, ""], row: Float[Array, " size"], h: Any
) -> tuple[Float[Array, " stages"], Float[Array, "stages size"], Float[Array, "stages size"]]:
    """Times, states and slopes of the stages of one step; of a method that is not explicit, only
    its start."""
    tableau = method if isinstance(method, Tableau) else cast(Tableau, METHODS["euler"])
    size = jnp.asarray(h, row.dtype)
    found = stages_of(tableau, lambda t, row: local.slope(t, row, local.reads), t, row, size)
    return found if tableau is method else Stages(*(part[:1] for part in found))


class Looked(NamedTuple):
    """What is finite in each stage of each accepted step.

    Attributes:
        slope, state: the field, and what its VJP gives for the state.
        reads: what its VJP gives for each array that the field reads.
    """

    times: Float[np.ndarray, "steps stages"]
    points: Float[np.ndarray, "steps stages size"]
    slope: Bool[np.ndarray, "steps stages size"]
    state: Bool[np.ndarray, "steps stages size"]
    reads: Bool[np.ndarray, "steps stages leaves"]


def look_at_stages(
    method: Any,
    local: Local,
    times: Float[Array, " points"],
    rows: Float[Array, "points size"],
) -> Looked:
    """Evaluate the field and its VJP at each stage of the steps between these points."""
    # Numbers of all signs, none of them zero: a zero would hide a slope that is infinite.
    cotangent = 1 + jnp.arange(rows.shape[1], dtype=rows.dtype) % 3

    @jax.jit
    def look(step: Any) -> Any:
        t, row, h = step
        times, points, _ = stage_points(method, local, t, row, h)

        def at(t, point):
            slope, pull = jax.vjp(lambda row, reads: local.slope(t, row, reads), point, local.reads)
            state, reads = pull(cotangent)
            leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(reads)]
            flags = jnp.stack(leaves) if leaves else jnp.zeros(0, bool)
            return jnp.isfinite(slope), jnp.isfinite(state), flags

        return times, points, *jax.vmap(at)(times, points)

    steps = times[:-1], rows[:-1], jnp.diff(times)
    found = jax.jit(lambda steps: jax.lax.map(look, steps))(steps)
    return Looked(*map(np.asarray, found))


def walk_cotangent(
    tableau: Tableau,
    local: Local,
    points: tuple[Float[np.ndarray, " points"], Float[Array, "points size"]],
    bars: Float[np.ndarray, "points size"],
) -> tuple[Float[np.ndarray, "points size"], Float[np.ndarray, "points leaves"]]:
    """The cotangent of the state at each point, from the last to the first.

    Args:
        points: times and states; one step is taken from each to the next.
        bars: what the loss gives to the state at each point.

    Returns:
        The cotangents, and the largest entry of that of each array the field reads, so far.
    """
    times, rows = points

    @jax.jit
    def pull(t, row, h, bar, reads_bar):
        def step(row, reads):
            here = local._replace(reads=reads)
            _, _, slopes = stage_points(tableau, here, t, row, h)
            return row + h * jnp.asarray(tableau.b, row.dtype) @ slopes

        _, back = jax.vjp(step, row, local.reads)
        row_bar, more = back(bar)
        return row_bar, jax.tree.map(jnp.add, reads_bar, more)

    reads_bar = jax.tree.map(jnp.zeros_like, local.reads)
    bar = jnp.asarray(bars[-1], rows.dtype)
    states, sizes = [np.asarray(bar)], [_largest(reads_bar)]
    for index in range(len(times) - 2, -1, -1):
        h = jnp.asarray(times[index + 1] - times[index], rows.dtype)
        t = jnp.asarray(times[index], rows.dtype)
        bar, reads_bar = pull(t, rows[index], h, bar, reads_bar)
        bar += jnp.asarray(bars[index], rows.dtype)
        states.append(np.asarray(bar))
        sizes.append(_largest(reads_bar))
    return np.stack(states[::-1]), np.stack(sizes[::-1])


def _largest(tree: Any) -> Float[np.ndarray, " leaves"]:
    leaves = jax.tree.leaves(tree)
    return np.array([np.max(np.abs(np.asarray(leaf, np.float64)), initial=0) for leaf in leaves])
