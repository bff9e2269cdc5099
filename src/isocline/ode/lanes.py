"""Independent trajectories a bunch at a time, those of like cost together.

Lanes that step together wait for the slowest of them. A bunch is wide enough to keep the processor
busy and no wider; bunches follow one another, so that memory does not grow with their number. When
all lanes of a bunch are done but very few, which have the most of their steps to go still, it is
over: a step of a whole bunch costs ten and more times that of one lane. Those few are solved from
their start, each alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .field import Field, Params
from .loop import Outcome, State, first_steps, integrate
from .record import Record
from .sharding import vary, varying_axes
from .status import Status
from .task import Rules, Task

# Numbers in the state of a bunch, and the limits of its width. Measured on Lorenz systems: below
# 100 lanes the overhead of a step shows, above 200 the buffers leave the nearest cache.
NUMBERS = 512
NARROWEST, WIDEST = 32, 128
# One in so many lanes may be left to go alone. Measured: a step of 32 to 128 lanes costs as much as
# 6 to 30 of one lane; in narrower bunches there is less to gain than a second program takes.
ONE_IN = 16


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
        return integrate_together(rules, field, params, task, first).at
    cost = task.t1 / jnp.maximum(first[1], jnp.finfo(task.t1.dtype).tiny)

    def work(carry: None, params: Params, task: Task, first: Any) -> tuple[None, Outcome]:
        return carry, integrate_together(rules, field, params, task, first).at

    order = jnp.argsort(jax.lax.stop_gradient(cost))
    return in_bunches(work, None, field, (params, task, first), order)[1]


def in_many_bunches(field: Field, task: Task) -> bool:
    """Whether there are more lanes than step together."""
    return field.batched and width_for(task.y0) < task.y0.shape[1]


def few_of(rules: Rules, field: Field, task: Task) -> int:
    """How many lanes of a bunch are better solved alone than waited for."""
    # Of equal numbers of steps none is to be waited for.
    if not field.batched or task.grid is not None or rules.open_end:
        return 0
    width = width_for(task.y0)
    return width // ONE_IN if width >= NARROWEST else 0


def integrate_together(
    rules: Rules,
    field: Field,
    params: Params,
    task: Task,
    first: Any,
    record: Record | None = None,
) -> State:
    """Solve one bunch, and after it, alone, those lanes of it that would keep the others waiting.

    Args:
        first, record: as in `integrate`; of lanes that are solved alone, the record is of no use.
    """
    few = few_of(rules, field, task)
    state = integrate(rules, field, params, task, first, record, few=few)
    if not few:
        return state
    left = state.at.status == Status.RUNNING

    def alone(at: Outcome, lane: Int[Array, " 1"], params: Params, task: Task) -> Outcome:
        solved = integrate_all(rules, field, params, task)
        solved = solved._replace(alone=jnp.ones_like(solved.alone))
        return jax.tree.map(lambda every, own: every.at[..., lane].set(own), at, solved)

    return state._replace(at=one_by_one(alone, state.at, field, (params, task), left))


def one_by_one(
    work: Callable[[Any, Int[Array, " 1"], Params, Task], Any],
    carry: Any,
    field: Field,
    inputs: tuple[Params, Task],
    chosen: Bool[Array, " lanes"],
) -> Any:
    """Do `work(carry, lane, params, task) -> carry` on the chosen lanes, one after the other."""
    params, task = inputs
    order = jnp.argsort(~chosen)

    def one(index: Int[Array, ""], carry: Any) -> Any:
        lane = order[index][None]
        own: Task = jax.tree.map(lambda leaf: jnp.take(leaf, lane, axis=-1), task)
        return work(carry, lane, field.take(params, lane), own)

    carry = vary(carry, varying_axes((carry, params, task, chosen)))
    return jax.lax.fori_loop(0, jnp.sum(chosen), one, carry)
