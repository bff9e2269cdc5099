"""The user's vector field in the loop's terms: rows of numbers, one a lane; parameters apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..errors import InputError
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
        axes: which leaves of the parameters have a lane axis of their own (0) or are shared (None).
        lanes: how many lanes there are.
    """

    lane: Callable[[Float[Array, ""], Float[Array, " size"], Params], Float[Array, " size"]]
    axes: Params
    lanes: int

    def __call__(
        self, t: Float[Array, " lanes"], y: Float[Array, "lanes size"], params: Params
    ) -> Float[Array, "lanes size"]:
        """The slope in every lane."""
        if self.lanes == 1:
            return self.lane(t[0], y[0], self.first(params))[None]
        return jax.vmap(self.lane, in_axes=(0, 0, self.axes))(t, y, params)

    def first(self, params: Params) -> Params:
        """The parameters of the first lane."""

        def pick(leaves: list[Any], axes: list[int | None]) -> list[Any]:
            return [
                leaf if axis is None else leaf[0] for leaf, axis in zip(leaves, axes, strict=True)
            ]

        return Params(pick(params.inexact, self.axes.inexact), pick(params.other, self.axes.other))


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


class Rows(NamedTuple):
    """A state as rows, one a lane; `unravel` turns one row back into the user's structure."""

    rows: Float[Array, "lanes size"]
    unravel: Callable[[Float[Array, " size"]], Any]


def as_rows(y0: Any, batched: bool) -> Rows:
    """Ravel a pytree of arrays, with a leading lane axis on every leaf if `batched`."""
    if not batched:
        row, unravel = ravel_pytree(y0)
        return Rows(row[None], unravel)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], y0))
    return Rows(jax.vmap(lambda y: ravel_pytree(y)[0])(y0), unravel)


def build_field(
    f: Callable,
    rows: Rows,
    t0: Float[Array, " lanes"],
    args: tuple[Any, Any],
    sign: Any,
    axes: frozenset[str],
) -> tuple[Field, Params]:
    """Set apart what the user's field reads, and give it back as a field on rows.

    Args:
        f: `f(t, y, args)`; arrays that it closes over become parameters, with gradients.
        rows: the initial state.
        t0: the initial times (of the reversed clock where time runs backwards).
        args: the user's args, and for each leaf 0 (one a lane) or None (shared).
        sign: +1 or -1, the direction of time; a number, or one a lane.
        axes: mesh axes along which anything here varies (see `sharding`).
    """
    values, lane_axes = args
    arrays, static_args = eqx.partition(values, eqx.is_array)
    leaves, treedef = jax.tree.flatten(arrays)
    own = [_first_entry(leaf, axis) for leaf, axis in zip(leaves, lane_axes, strict=True)]
    function_arrays, function_static = eqx.partition(f, eqx.is_array)
    f = eqx.combine(vary(function_arrays, axes), function_static)

    directed, signs = _directed(sign)

    def flat(t, row, arrays, signs):
        y = rows.unravel(row)

        def slope(t: Any) -> Any:
            return _like(y, f(t, y, eqx.combine(arrays, static_args)))

        return ravel_pytree(directed(slope, t, signs))[0].astype(row.dtype)

    example = t0[0], rows.rows[0], jax.tree.unflatten(treedef, own), [sign[0] for sign in signs]
    closed, static = eqx.partition(eqx.filter_closure_convert(flat, *example), eqx.is_array)
    consts, closed_tree = jax.tree.flatten(closed)
    pieces = [*consts, *leaves, *signs]
    piece_axes = [*[None] * len(consts), *lane_axes, *[0] * len(signs)]
    params, param_axes, merge = _split(pieces, piece_axes)
    first_leaf, end_leaf = len(consts), len(consts) + len(leaves)

    def lane(t, row, params):
        pieces = merge(params)
        function = eqx.combine(jax.tree.unflatten(closed_tree, pieces[:first_leaf]), static)
        arrays = jax.tree.unflatten(treedef, pieces[first_leaf:end_leaf])
        return function(t, row, arrays, pieces[end_leaf:])

    return Field(lane, param_axes, rows.rows.shape[0]), vary(params, axes)


def _first_entry(leaf: Any, axis: int | None) -> Any:
    """What the first lane sees of an array."""
    return leaf if axis is None else leaf[0]


def _directed(sign: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A slope on the clock that runs forward, and the arrays it needs: one sign a lane, or none.

    It is turned leaf by leaf: were it turned as one row, XLA would compute all of a slope of which
    a symplectic method takes one half.
    """

    def forward(slope, t, _):
        return slope(t)

    def backward(slope, t, _):
        return jax.tree.map(jnp.negative, slope(-t))

    def own_way(slope, t, signs):
        direction = signs[0].astype(t.dtype)
        return jax.tree.map(lambda leaf: direction * leaf, slope(direction * t))

    if not isinstance(sign, float):
        return own_way, [sign]
    return (forward if sign > 0 else backward), []


def _split(pieces: list[Any], axes: list[int | None]):
    """Sort arrays into those with a gradient and those without; `merge` undoes it."""
    inexact = [
        index for index, piece in enumerate(pieces) if jnp.issubdtype(piece.dtype, jnp.inexact)
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


def _like(y: Any, slope: Any) -> Any:
    """The slope in the dtypes of the state; InputError if it is not shaped like it."""
    wanted, got = jax.tree.structure(y), jax.tree.structure(slope)
    if wanted != got:
        raise InputError(
            f"the vector field must return the structure of y: expected {wanted}, got {got}."
        )
    for want, have in zip(jax.tree.leaves(y), jax.tree.leaves(slope), strict=True):
        if jnp.shape(want) != jnp.shape(have):
            raise InputError(
                "the vector field must return the shape of y: "
                f"expected {jnp.shape(want)}, got {jnp.shape(have)}."
            )
    return jax.tree.map(lambda have, want: jnp.asarray(have, jnp.asarray(want).dtype), slope, y)
