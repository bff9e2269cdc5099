"""`jax.vmap` of a solve as a solve of independent trajectories.

JAX would map the loop itself: all would go on until the last is done, each with a copy of every
buffer, written anew at every step. So one solve says here what many of them are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Bool, Int, PyTree

from .field import Field, Params, lanes_last
from .task import Task

# Of a field, its parameters, a task, what else differs between trajectories, and what only one
# alone has; gives what differs between trajectories, and again what only one alone has.
Work = Callable[[Field, Params, Task, PyTree, PyTree], tuple[PyTree, PyTree]]


@custom_vmap
def any_of_all(flags: Bool[Array, "*lanes"]) -> Bool[Array, ""]:
    """Whether any is set; under `jax.vmap`, in any trajectory: so that a `cond` on it stays one."""
    return jnp.any(flags)


@any_of_all.def_vmap
def _(_: int, __: list[bool], flags: Array) -> tuple[Array, bool]:
    return any_of_all(flags), False


@custom_vmap
def most_of_all(numbers: Int[Array, "*shape"]) -> Int[Array, ""]:
    """The largest of some numbers, none below zero; under `jax.vmap`, of all trajectories."""
    return jnp.max(numbers, initial=0)


@most_of_all.def_vmap
def _(_: int, __: list[bool], numbers: Array) -> tuple[Array, bool]:
    return most_of_all(numbers), False


def mappable(work: Work, field: Field, own: bool = False) -> Callable[..., tuple[PyTree, PyTree]]:
    """`work` on one trajectory, as a function of arrays that knows what to do with many.

    Args:
        work: of many trajectories it is given None for what only one alone has, and gives none. All
            else has the lanes last (in parameters: where the field says), and so has its result.
        field: of one trajectory; where it has lanes already, JAX maps the loop.
        own: whether each lane is to have parameters of its own, even where all share them.
    """
    if field.batched:
        return partial(work, field)

    def call(params: Params, task: Task, rest: PyTree, alone: PyTree) -> tuple[PyTree, PyTree]:
        # As plain arrays: JAX stumbles over None among them when it differentiates forward.
        leaves, tree = jax.tree.flatten((params, task, rest, alone))

        @custom_vmap
        def one(*leaves: Array) -> tuple[PyTree, PyTree]:
            return work(field, *jax.tree.unflatten(tree, leaves))

        @one.def_vmap
        def _(count: int, mapped: list[bool], *leaves: Array):
            given, mapped = (jax.tree.unflatten(tree, flat) for flat in (leaves, mapped))
            return _of_all(work, (field, own), count, given, mapped)

        return one(*leaves)

    return call


def _of_all(work: Work, what: tuple[Field, bool], count: int, given: Any, mapped: Any):
    """The results of so many trajectories, and which of them are mapped."""
    field, own = what
    params, task, rest, _ = given
    if not any(jax.tree.leaves(mapped[:2])):
        # At most cotangents differ: many pullbacks of one and the same solve.
        axes = jax.tree.map(lambda is_mapped: 0 if is_mapped else None, mapped[2])
        if not any(jax.tree.leaves(mapped[2])):
            found = work(field, *given)
            return found, jax.tree.map(lambda _: False, found)

        def each(field: Field, params: Params, task: Task, rest: PyTree, alone: PyTree):
            return jax.vmap(lambda one: work(field, params, task, one, alone), (axes,))(rest)

        # There may be another `vmap` around this one, and that may be of many solves.
        found = mappable(each, field, own)(*given)
        return found, jax.tree.map(lambda _: True, found)
    single = jax.tree.map(_one_of, given, mapped)
    _, empty = jax.eval_shape(partial(work, field), *single)
    many, params = _of_many(field, params, mapped[0], count if own else None)
    task = _lanes_at_end(task, mapped[1], count)
    found, _ = work(many, params, task, _lanes_at_end(rest, mapped[2], count), None)
    found = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), found)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty)
    is_mapped = jax.tree.map(lambda _: True, found), jax.tree.map(lambda _: False, nothing)
    return (found, nothing), is_mapped


def _one_of(leaf: Array, is_mapped: bool) -> jax.ShapeDtypeStruct:
    shape = jnp.shape(leaf)
    return jax.ShapeDtypeStruct(shape[1:] if is_mapped else shape, jnp.result_type(leaf))


def _lanes_at_end(tree: PyTree, mapped: PyTree, count: int) -> PyTree:
    def move(leaf: Array, is_mapped: bool) -> Array:
        leaf = leaf if is_mapped else jnp.broadcast_to(leaf, (count, *jnp.shape(leaf)))
        return jnp.moveaxis(leaf, 0, -1)

    return jax.tree.map(move, tree, mapped)


def _of_many(
    field: Field, params: Params, mapped: Params, count: int | None
) -> tuple[Field, Params]:
    """The field of many lanes, and their parameters: a count makes all of them each lane's own."""

    def turn(leaves: list[Any], mapped: list[bool]) -> tuple[list[Any], list[int | None]]:
        if count is not None:
            leaves = [
                leaf if is_mapped else jnp.broadcast_to(leaf, (count, *jnp.shape(leaf)))
                for leaf, is_mapped in zip(leaves, mapped, strict=True)
            ]
            mapped = [True] * len(mapped)
        return lanes_last(leaves, [0 if is_mapped else None for is_mapped in mapped])

    inexact, inexact_axes = turn(params.inexact, mapped.inexact)
    other, other_axes = turn(params.other, mapped.other)
    many = field._replace(axes=Params(inexact_axes, other_axes), batched=True)
    return many, Params(inexact, other)
