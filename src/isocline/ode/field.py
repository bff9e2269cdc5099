"""The user's vector field in the loop's terms: rows of numbers, one a lane; parameters apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Shaped

from ..errors import InputError
from .clock import Clock
from .drive import Driven
from .rows import Rows
from .sharding import vary


class Params(NamedTuple):
    """All arrays that a field reads beside time and state: with a gradient, and the others."""

    inexact: list[Any]
    other: list[Any]

    def replace(self, inexact: list[Any]) -> Params:
        """The same parameters with other values where there is a gradient."""
        return Params(inexact, self.other)


class Field(NamedTuple):
    """A vector field on rows.

    Attributes:
        lane: the field of one lane, `lane(t, y, params) -> slope` with a scalar time and one row.
        axes: which leaves of the parameters have an axis of lanes of their own (which one), or are
            shared (None).
        batched: whether there is an axis of lanes, the last one, in time and state.
        beside: what else reads the same parameters, by name, with the arguments of `lane`: the
            conditions of events (`events.CONDITIONS`), for instance.
    """

    lane: Callable[[Float[Array, ""], Float[Array, " size"], Params], Float[Array, " size"]]
    axes: Params
    batched: bool
    beside: dict[str, Callable[[Float[Array, ""], Float[Array, " size"], Params], Array]] = {}  # noqa: RUF012

    def __call__(
        self, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"], params: Params
    ) -> Float[Array, "size *lanes"]:
        """The slope (in every lane)."""
        return self._each(self.lane, t, y, params)

    def ask(
        self, name: str, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"], params: Params
    ) -> Shaped[Array, "*what *lanes"]:
        """What the function of this name beside the field says (in every lane)."""
        return self._each(self.beside[name], t, y, params)

    def _each(self, lane: Callable, t: Array, y: Array, params: Params) -> Array:
        if not self.batched:
            return lane(t, y, params)
        return jax.vmap(lane, in_axes=(0, -1, self.axes), out_axes=-1)(t, y, params)

    def take(self, params: Params, lanes: Int[Array, " some"]) -> Params:
        """The parameters of some lanes."""

        def pick(leaves: list[Any], axes: list[int | None]) -> list[Any]:
            return [
                leaf if axis is None else jnp.take(leaf, lanes, axis=axis)
                for leaf, axis in zip(leaves, axes, strict=True)
            ]

        return Params(pick(params.inexact, self.axes.inexact), pick(params.other, self.axes.other))


class Bound(NamedTuple):
    """A field with its parameters: the slope as a function of time and state alone."""

    field: Field
    params: Params

    def __call__(
        self, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"]
    ) -> Float[Array, "size *lanes"]:
        """The slope (in every lane)."""
        return self.field(t, y, self.params)

    def linearized(
        self, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"]
    ) -> tuple[Float[Array, "size *lanes"], Callable[[Array], tuple[Array, list[Any]]]]:
        """The slope, and what pulls its cotangent back to state and parameters."""
        params = self.params
        return jax.vjp(
            lambda y, inexact: self.field(t, y, params.replace(inexact)), y, params.inexact
        )


def three_arguments(f: Callable) -> Callable:
    """The field as `f(t, y, args)`, also when it was written as `f(t, y)`."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return f
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_more = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    return _TwoArguments(f) if len(positional) == 2 and not takes_more else f


class _TwoArguments(eqx.Module):
    """`f(t, y)` as `f(t, y, args)`.

    A module, so that arrays in f stay visible and the compiled solve is found again.
    """

    f: Callable

    def __call__(self, t: Any, y: Any, args: Any) -> Any:
        return self.f(t, y)


def build_field(
    f: Callable | dict[str, Callable],
    rows: Rows,
    clock: Clock,
    args: tuple[Any, Any, Any],
    axes: frozenset[str],
) -> tuple[Field, Params]:
    """Set apart what the user's functions read, and give them back as functions of rows.

    Args:
        f: `f(t, y, args)`; arrays that it closes over become parameters, with gradients. Or several
            functions by their names: the field is "slope", the others return one array each.
        rows: the initial state.
        clock: the user's time.
        args: the user's args as `arguments.Args`.
        axes: mesh axes along which anything here varies (see `sharding`).
    """
    values, lane_axes, plain = args
    arrays, static_args = eqx.partition(values, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    own = [_first_entry(leaf, axis) for leaf, axis in zip(leaves, lane_axes, strict=True)]
    batched, hands = rows.rows.ndim > 1, clock.hands
    row = rows.rows[:, 0] if batched else rows.rows
    one = [jnp.ravel(hand)[0] for hand in hands]
    example = one[0], row, jax.tree.unflatten(treedef, own), one

    def on_rows(name: str, f: Callable) -> Callable:
        function_arrays, function_static = eqx.partition(f, eqx.is_array)
        f = eqx.combine(vary(function_arrays, axes), function_static)

        def flat(t, row, arrays, hands):
            now, y, args = clock.holding(hands), rows.unravel(row), eqx.combine(arrays, static_args)
            if name != "slope":
                return f(now.read(t), y, args)
            # It is turned leaf by leaf: were it turned as one row, XLA would compute all of a slope
            # of which a symplectic method takes one half.
            slope = jax.tree.map(now.directed, like(y, _slope(f, now, t, y, args), "vector field"))
            return rows.ravel(slope).astype(row.dtype)

        return eqx.filter_closure_convert(flat, *example)

    functions = f if isinstance(f, dict) else {"slope": f}
    converted = {name: on_rows(name, function) for name, function in functions.items()}
    closed, static = eqx.partition(converted, eqx.is_array)
    consts, closed_tree = jax.tree.flatten(closed)
    pieces = [*consts, *leaves, *hands]
    axes_of = [*[None] * len(consts), *lane_axes, *[0 if batched else None] * len(hands)]
    pieces, piece_axes = lanes_last(pieces, axes_of)
    # Plain numbers, as tables that a derivative rule of the user's own closes over, have none.
    numbers = [not isinstance(const, Tracer) for const in consts] + list(plain)
    fixed = set(np.flatnonzero(numbers).tolist())
    params, param_axes, merge = _split(pieces, piece_axes, fixed)
    first_leaf, end_leaf = len(consts), len(consts) + len(leaves)

    def named(name: str) -> Callable:
        def lane(t, row, params):
            pieces = merge(params)
            closed = jax.tree.unflatten(closed_tree, pieces[:first_leaf])
            arrays = jax.tree.unflatten(treedef, pieces[first_leaf:end_leaf])
            function = eqx.combine(closed[name], static[name])
            return function(t, row, arrays, pieces[end_leaf:])

        return lane

    beside = {name: named(name) for name in functions if name != "slope"}
    # It is called in several places, and so it is traced once for all of them.
    return Field(jax.jit(named("slope")), param_axes, batched, beside), vary(params, axes)


def _slope(f: Callable, clock: Clock, t: Array, *state: Any) -> Any:
    """The user's field when the loop's clock shows t; what drives it may know that better."""
    return f.at(clock, t, *state) if isinstance(f, Driven) else f(clock.read(t), *state)


def lanes_last(pieces: list[Any], axes: list[int | None]) -> tuple[list[Any], list[int | None]]:
    """With the axis of lanes last, where a piece is no more than a row for each of them.

    Matrices of their own for each lane stay as they are: that is how products of them are fast.
    """
    last = [axis == 0 and piece.ndim <= 2 for piece, axis in zip(pieces, axes, strict=True)]
    moved = [jnp.moveaxis(piece, 0, -1) if go else piece for piece, go in zip(pieces, last)]
    return moved, [-1 if go else axis for go, axis in zip(last, axes)]


def _first_entry(leaf: Any, axis: int | None) -> Any:
    """What the first lane sees of an array."""
    return leaf if axis is None else leaf[0]


def _split(pieces: list[Any], axes: list[int | None], fixed: set[int]):
    """Sort arrays into those with a gradient and those without; `merge` undoes it."""
    inexact = [
        index
        for index, piece in enumerate(pieces)
        if jnp.issubdtype(piece.dtype, jnp.inexact) and index not in fixed
    ]
    other = [index for index in range(len(pieces)) if index not in set(inexact)]

    def pick(values):
        return Params([values[index] for index in inexact], [values[index] for index in other])

    def merge(params: Params) -> list[Any]:
        merged = [None] * len(pieces)
        for index, value in zip(inexact + other, params.inexact + params.other, strict=True):
            merged[index] = value
        return merged

    return pick(pieces), pick(axes), merge


def like(y: Any, value: Any, name: str) -> Any:
    """A value in the dtypes of the state; InputError if it is not shaped like it.

    Args:
        name: what the user calls the function that gave it.
    """
    wanted, got = jax.tree.structure(y), jax.tree.structure(value)
    if wanted != got:
        numbers = isinstance(y, (list, tuple)) and not any(map(jnp.ndim, jax.tree.leaves(y)))
        raise InputError(
            f"the {name} must return the structure of y: expected {wanted}, got {got}."
            + numbers * " y0 is a list of single numbers: for one array pass y0=np.array(...)."
        )
    for want, have in zip(jax.tree.leaves(y), jax.tree.leaves(value), strict=True):
        if jnp.iscomplexobj(have) and not jnp.iscomplexobj(want):
            raise InputError(
                f"the {name} returns complex numbers for a real state, whose imaginary part would "
                "be lost: pass a complex y0, or return the real part."
            )
        if jnp.shape(want) != jnp.shape(have):
            raise InputError(
                f"the {name} must return the shape of y: "
                f"expected {jnp.shape(want)}, got {jnp.shape(have)}."
            )
    return jax.tree.map(lambda have, want: jnp.asarray(have, jnp.asarray(want).dtype), value, y)
