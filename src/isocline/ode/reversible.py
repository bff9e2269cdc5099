"""One step of a reversible method, and the way back through it that needs no record of states."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .field import Bound, Field, Params
from .step import Bars, Pulled, Start, Taken, put, weigh
from .tableaus import Reversible

Row = Float[Array, "half *lanes"]


def doubled(field: Field) -> Field:
    """The field of both states of a reversible method, which begin as one."""

    def lane(
        t: Float[Array, ""], row: Float[Array, " size"], params: Params
    ) -> Float[Array, " size"]:
        slope = field.lane(t, row[: row.shape[0] // 2], params)
        return jnp.concatenate([slope, slope])

    return field._replace(lane=lane)


def reversible_step(
    method: Reversible, bound: Bound, start: Start, h: Float[Array, "*lanes"]
) -> tuple[Float[Array, "size *lanes"], Float[Array, "stages size *lanes"]]:
    """Take one step from `start`, whose state is y, and after it z.

    Returns:
        The new states; and slopes from which y can be filled in between, as of any method.
    """
    y, z = jnp.split(start.y, 2)
    c = method.coupling

    def increments(carry: Any, _: None) -> tuple[Any, tuple[Row, Array]]:
        t, base, h = carry
        added, slopes = _increment(method, bound, t, base, h)
        # The second increment starts from the first one's end, and steps back.
        return (t + h, c * y + (1 - c) * z + added, -h), (added, slopes)

    _, (added, slopes) = lax.scan(increments, (start.t, z, h), length=2)
    new = c * y + (1 - c) * z + added[0]
    return jnp.concatenate([new, z - added[1]]), _fill(method, (y, z, h), slopes[0], slopes[1][0])


def _increment(
    method: Reversible,
    bound: Bound,
    t: Float[Array, "*lanes"],
    base: Row,
    h: Float[Array, "*lanes"],
) -> tuple[Row, Float[Array, "stages half *lanes"]]:
    """What a step of the method would add to a state, and the slopes of its stages."""
    nodes = jnp.asarray(method.nodes, t.dtype)
    rows = [
        lambda slopes, row=row: weigh(row, slopes) for row in method.matrix[: method.stages - 1]
    ]

    def stage(slopes: Array, index: Int[Array, ""]) -> tuple[Array, None]:
        point = base + h * lax.switch(index, rows, slopes)
        slope = bound(t + nodes[index] * h, jnp.concatenate([point, point]))
        return put(slopes, index, slope[: base.shape[0]]), None

    empty = jnp.zeros((method.stages, *base.shape), base.dtype) + 0 * base
    slopes, _ = lax.scan(stage, empty, jnp.arange(method.stages - 1))
    return h * weigh(method.b, slopes), slopes


def _fill(
    method: Reversible, state: tuple[Row, Row, Array], slopes: Array, last: Row
) -> Float[Array, "stages size *lanes"]:
    """Slopes of y alone: those of the stages, and the pull of z, spread over the step."""
    y, z, h = state
    slopes = put(slopes, jnp.asarray(method.stages - 1), last)
    slopes += (1 - method.coupling) * (z - y) / jnp.where(h == 0, 1, h)
    return jnp.concatenate([slopes, jnp.zeros_like(slopes)], axis=1)


def reversible_pull(
    method: Reversible, bound: Bound, step: Taken, bars: Bars, room: Pulled
) -> Pulled:
    """Undo a step, and pull cotangents back through it: each evaluation once, with one VJP.

    `room.points` holds the states at the end of the step, and then those at its start.
    """
    t, h, c = step.t, step.h, method.coupling
    y1, z1 = jnp.split(room.points, 2)
    y1_bar, z1_bar = jnp.split(bars.y, 2)
    slopes_bar = jnp.zeros((method.stages, *y1.shape), y1.dtype)
    if bars.slopes is not None:
        slopes_bar = bars.slopes[:, : y1.shape[0]]
    slopes_bar = slopes_bar.at[method.stages - 1].add(bars.f[: y1.shape[0]])

    def increment(t: Array, base: Row, h: Array) -> Any:
        def added(base: Row, inexact: list[Any]) -> tuple[Row, Array]:
            again = Bound(bound.field, bound.params.replace(inexact))
            return _increment(method, again, t, base, h)

        return jax.vjp(added, base, bound.params.inexact)

    (second, back), pull_second = increment(t + h, y1, -h)
    z = z1 + second
    (first, ahead), pull_first = increment(t, z, h)
    y = (y1 - (1 - c) * z - first) / c
    last_bar = jnp.zeros_like(back).at[0].set(slopes_bar[-1])
    more, params_bar = pull_second((-z1_bar, last_bar))
    y1_bar += more
    more, params_too = pull_first((y1_bar, slopes_bar.at[-1].set(0)))
    drawn = (1 - c) * jnp.sum(slopes_bar, axis=0) / jnp.where(h == 0, 1, h)
    y_bar, z_bar = c * y1_bar - drawn, z1_bar + (1 - c) * y1_bar + more + drawn
    points = jnp.where(step.active, jnp.concatenate([y, z]), room.points)
    params_bar = jax.tree.map(lambda *bars: sum(bars), room.params, params_bar, params_too)
    slopes = None if room.slopes is None else _fill(method, (y, z, h), ahead, back[0])
    both = jnp.concatenate([y_bar, z_bar])
    return Pulled(both, jnp.zeros_like(both), params_bar, points, slopes)
