"""A step of a network on a few numbers, its stages written out one after the other.

A turn of XLA's loop, with what it reads from memory and writes there, costs as much as a layer of a
small network; and where stages are written out, what they add to the cotangent of a matrix becomes
one sum. A gradient takes a tenth to two thirds less time for it, and its first call up to a quarter
more. It is for fields with a product of matrices: of others, XLA would compute the slope of a stage
again for each of its uses, and so on down to the first stage.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .field import Bound
from .step import FEW, Bars, Pulled, Start, Step, Taken, Wanted, weigh
from .tableaus import Tableau
from .traced import operations

# Numbers of the parameters: what all stages add to their cotangent may be in memory at once.
MANY = 2**18


def is_written_out(
    tableau: Tableau, bound: Bound, t: Float[Array, "*lanes"], y: Float[Array, "size *lanes"]
) -> bool:
    """Whether steps of this method from states like this are."""
    if y.ndim > 1 or y.size > FEW or tableau.extra:
        return False
    if sum(leaf.size for leaf in bound.params.inexact) > MANY:
        return False
    return any(name == "dot_general" for name in operations(jax.make_jaxpr(bound)(t, y).jaxpr))


def written_out_step(
    tableau: Tableau, bound: Bound, start: Start, h: Float[Array, ""], wanted: Wanted, room: Step
) -> Step:
    """Take one step; arguments as in `runge_kutta_step`."""
    (t, y, f, _), closing = start, wanted[1]
    slopes, points = [f], []
    for node, weights in zip(tableau.nodes[1:], tableau.matrix[1:], strict=True):
        point, at = y + h * weigh(weights, slopes), t + float(node) * h
        last = len(slopes) == tableau.stages - 1
        slope = _slope_if(closing, bound, at, point) if last else bound(at, point)
        points.append(point)
        slopes.append(slope)
    notes = room.notes
    if notes is not None:
        notes = jnp.stack([*points, f][: len(notes)])
    return Step(points[-1], jnp.stack(slopes), notes)


def _slope_if(wanted: Any, bound: Bound, t: Float[Array, ""], y: Float[Array, " size"]) -> Array:
    """The field there, zeros where it is not wanted."""
    if wanted is True:
        return bound(t, y)
    return lax.cond(wanted, lambda: bound(t, y), lambda: jnp.zeros_like(y))


def written_out_pull(
    tableau: Tableau, bound: Bound, step: Taken, bars: Bars, wanted: Wanted, room: Pulled
) -> Pulled:
    """Pull cotangents back through one step; arguments as in `runge_kutta_pull`."""
    (t, h, points), closing, last = (step.t, step.h, step.notes), wanted[1], tableau.stages - 1
    direct = [0] * tableau.stages if bars.slopes is None else bars.slopes

    def pulled(index: int, slope_bar: Array) -> tuple[Array, Array, list[Any]]:
        slope, pull = bound.linearized(t + float(tableau.nodes[index]) * h, points[index - 1])
        return slope, *pull(slope_bar)

    def pulled_last() -> tuple[Array, Array, list[Any]]:
        slope, point_bar, params = pulled(last, bars.f + direct[last])
        return slope, point_bar + bars.y, jax.tree.map(jnp.add, room.params, params)

    def passed_over() -> tuple[Array, Array, list[Any]]:
        return jnp.zeros_like(bars.y), bars.y, room.params

    # With the sum so far, and not with what is added to it: zeros for large matrices are dear.
    slope, point_bar, total = (
        pulled_last() if closing is True else lax.cond(closing, pulled_last, passed_over)
    )
    point_bars, slopes, added = [point_bar], [slope], []
    for index in reversed(range(1, last)):
        slope_bar = h * weigh(tableau.matrix[index + 1 :, index], point_bars) + direct[index]
        slope, point_bar, params = pulled(index, slope_bar)
        point_bars.insert(0, point_bar)
        slopes.insert(0, slope)
        added.append(params)
    return Pulled(
        y=functools.reduce(operator.add, point_bars),
        f=h * weigh(tableau.matrix[1:, 0], point_bars) + direct[0],
        params=functools.reduce(functools.partial(jax.tree.map, jnp.add), added, total),
        points=room.points,
        slopes=None if room.slopes is None else jnp.stack([points[last], *slopes]),
    )
