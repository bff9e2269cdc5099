"""Independent trajectories a bunch at a time, those of like cost together.

Lanes that step together wait for the slowest of them. A bunch is wide enough to keep the processor
busy and no wider; bunches follow one another, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from .field import Field, Params
from .loop import Outcome, first_steps, integrate
from .task import Rules, Task

# Numbers in the state of a bunch, and the limits of its width. Measured on Lorenz systems: below
# 100 lanes the overhead of a step shows, above 200 the buffers leave the nearest cache.
NUMBERS = 512
NARROWEST, WIDEST = 32, 128


def width_for(y0: Float[Array, "size lanes"]) -> int:
    """How many lanes step together."""
    size, lanes = y0.shape
    limit = min(max(NUMBERS // max(size, 1), NARROWEST), WIDEST)
    bunches = -(-lanes // limit)
    return -(-lanes // bunches)


def in_bunches(
    work: Callable[[Any, Params, Task, PyTree], tuple[Any, PyTree]],
    carry: Any,
    field: Field,
    inputs: tuple[Params, Task, PyTree],
    order: Int[Array, " lanes"],
) -> tuple[Any, PyTree]:
    """Do `work(carry, params, task, rest) -> (carry, results)` on one bunch after the other.

    Args:
        inputs: parameters, task, and whatever else has the lanes as the last axis of every leaf.
        order: lanes in the order in which they fill the bunches.

    Returns:
        The last carry, and the results of all lanes in their own order, lanes last.
    """
    params, task, rest = inputs
    lanes, width = order.shape[0], width_for(task.y0)
    bunches = -(-lanes // width)
    places = jnp.arange(bunches * width).reshape(bunches, width)

    def bunch(carry: Any, places: Int[Array, " width"]) -> tuple[Any, PyTree]:
        chosen = order[jnp.minimum(places, lanes - 1)]
        some: Task = jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=-1), task)
        # What fills the last bunch up is over before it begins.
        some = some._replace(t1=jnp.where(places < lanes, some.t1, 0))
        others = jax.tree.map(lambda leaf: jnp.take(leaf, chosen, axis=-1), rest)
        return work(carry, field.take(params, chosen), some, others)

    carry, results = jax.lax.scan(bunch, carry, places)
    place_of = jnp.argsort(order)

    def in_order(leaf: Array) -> Array:
        leaf = jnp.moveaxis(leaf, 0, -2)
        # Counted, not -1: there may be arrays without any number.
        lanes = leaf.shape[-2] * leaf.shape[-1]
        return jnp.take(leaf.reshape(*leaf.shape[:-2], lanes), place_of, axis=-1)

    return carry, jax.tree.map(in_order, results)


def integrate_all(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve, whether there is one trajectory or many; without a record."""
    first = first_steps(rules, field, params, task)
    if not in_many_bunches(field, task):
        return integrate(rules, field, params, task, first).at
    cost = task.t1 / jnp.maximum(first[1], jnp.finfo(task.t1.dtype).tiny)

    def work(carry: None, params: Params, task: Task, first: Any) -> tuple[None, Outcome]:
        return carry, integrate(rules, field, params, task, first).at

    order = jnp.argsort(jax.lax.stop_gradient(cost))
    return in_bunches(work, None, field, (params, task, first), order)[1]


def in_many_bunches(field: Field, task: Task) -> bool:
    """Whether there are more lanes than step together."""
    return field.batched and width_for(task.y0) < task.y0.shape[1]
