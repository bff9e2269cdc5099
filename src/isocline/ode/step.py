"""One step of an explicit Runge-Kutta method: taken, filled in between, and pulled back.

The stages are a loop, so the field is traced once in a step and once in its pullback: that is what
a first call waits for. The rows of the tableau are branches of a `switch`, each with its weights
written in, so a stage reads no slope that it has no weight for. And because a branch ends in
memory, XLA can not compute the same slopes again for each of their uses, as it does where stages
are written out one after the other. For a state of a few numbers, to choose a branch costs more
than to read all slopes: there the weights are looked up.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from .field import Bound
from .tableaus import Tableau

FEW = 64  # numbers of a state: up to there a turn of a loop costs more than what it computes


class Start(NamedTuple):
    """Where a step begins: time, state, the field there, and which of two methods takes it."""

    t: Float[Array, "*lanes"]
    y: Float[Array, "size *lanes"]
    f: Float[Array, "size *lanes"]
    stiff: Bool[Array, "*lanes"] | None = None


# Whether the stages of dense output are wanted, and whether the field at the end of the step is.
Wanted = tuple[Bool[Array, ""] | bool, Bool[Array, ""] | bool]


class Step(NamedTuple):
    """What a step computed; also the room for the next one, so that no buffer is made twice.

    Attributes:
        y: the new state.
        slopes: the field at every stage; the last stage of the step is the field at `y`. Rows of
            stages that only dense output needs are zero where it is not wanted.
        notes: the points of all stages after the first, and the field at the start in one more row
            if dense output is pulled back as well; None if nothing is.
    """

    y: Float[Array, "size *lanes"]
    slopes: Float[Array, "stages size *lanes"]
    notes: Float[Array, "rows size *lanes"] | None


class Taken(NamedTuple):
    """A step that was taken: from when to when, its notes, and by which of two methods."""

    t: Float[Array, "*lanes"]
    end: Float[Array, "*lanes"]
    notes: Float[Array, "rows size *lanes"]
    stiff: Bool[Array, "*lanes"] | None = None

    @property
    def h(self) -> Float[Array, "*lanes"]:
        """Its size."""
        return self.end - self.t

    @property
    def active(self) -> Bool[Array, "*lanes"]:
        """Which lanes it brought on."""
        return self.end > self.t


class Bars(NamedTuple):
    """Cotangents on their way back through a step: of the state, of the field there, of the stages.

    Attributes:
        slopes: of each stage directly, from values between the ends; None if there are none.
    """

    y: Float[Array, "size *lanes"]
    f: Float[Array, "size *lanes"]
    slopes: Float[Array, "stages size *lanes"] | None


class Pulled(NamedTuple):
    """What a pullback gives; also the room for the next one.

    Attributes:
        y, f: cotangents of the state where the step began, and of the field there.
        params: cotangents of the parameters, added up over all steps.
        points: cotangents of the points of the stages.
        slopes: the field at every stage, if dense output is pulled back.
    """

    y: Float[Array, "size *lanes"]
    f: Float[Array, "size *lanes"]
    params: Any
    points: Float[Array, "stages size *lanes"]
    slopes: Float[Array, "stages size *lanes"] | None


def put(rows: Array, index: Int[Array, ""], row: Array) -> Array:
    """Rows with one written anew."""
    return lax.dynamic_update_index_in_dim(rows, row, index, axis=0)


def weigh(weights: Any, rows: Any) -> Float[Array, "size *lanes"]:
    """`sum_s weights[s] rows[s]`, leaving out zero weights; zeros if there are none."""
    terms = [float(weight) * rows[index] for index, weight in enumerate(weights) if weight]
    return functools.reduce(operator.add, terms) if terms else jnp.zeros_like(rows[0])


def runge_kutta_step(
    tableau: Tableau,
    bound: Bound,
    start: Start,
    h: Float[Array, "*lanes"],
    wanted: Wanted,
    room: Step,
) -> Step:
    """Take one step from `start`.

    Args:
        tableau: the method.
        bound: the vector field.
        start: time, state, and the field there.
        h: step size (of each lane); zero leaves a lane where it is.
        wanted: whether the stages that only dense output needs are; where that is known to be so,
            or there are none, JAX can differentiate through the step in reverse. And whether the
            field at the new state is; where not, zeros stand for it.
        room: an earlier step, whose buffers are used again.
    """
    (t, y, f, _), (fill, closing) = start, wanted
    nodes = jnp.asarray(tableau.nodes, t.dtype)
    combined = _combiner(tableau.matrix[1:], y)
    end: Any = tableau.stages
    if tableau.extra:
        end = len(tableau.nodes) if fill is True else jnp.where(fill, len(tableau.nodes), end)

    def stage(index: Int[Array, ""], made: Step) -> Step:
        point = y + h * combined(index - 1, made.slopes)
        at = t + nodes[index] * h
        if closing is True:
            slope = bound(at, point)
        else:
            inner = closing | (index < tableau.stages - 1)
            slope = lax.cond(inner, lambda: bound(at, point), lambda: jnp.zeros_like(point))
        notes = made.notes if made.notes is None else put(made.notes, index - 1, point)
        new = jnp.where(index < tableau.stages, point, made.y) if tableau.extra else point
        return Step(new, put(made.slopes, index, slope), notes)

    zero, notes = jnp.zeros((), jnp.int32), room.notes
    if notes is not None and notes.shape[0] == len(tableau.nodes):
        notes = put(notes, zero + len(tableau.nodes) - 1, f)
    slopes = put(room.slopes, zero, f)
    if tableau.extra:
        slopes = slopes.at[tableau.stages :].set(0)
    begun = Step(y, slopes, notes)
    return lax.fori_loop(1, end, stage, begun)


def runge_kutta_pull(
    tableau: Tableau,
    bound: Bound,
    step: Taken,
    bars: Bars,
    wanted: Wanted,
    room: Pulled,
) -> Pulled:
    """Pull cotangents back through one step: one evaluation and one VJP a stage, and no other.

    With p_i the cotangent of the point of stage i and k_i that of its slope, from the last stage to
    the second: k_i = h sum_j a_ji p_j, and p_i = J_i^T k_i.

    Args:
        tableau, bound: as in `runge_kutta_step`.
        step: the step, with its notes.
        bars: cotangents of its end.
        wanted: whether the stages that only dense output needs were evaluated, and the field at
            the new state; where not, that has no cotangent.
        room: an earlier pullback, to whose parameters this one adds.
    """
    (t, h, points), (fill, closing) = (step.t, step.h, step.notes), wanted
    everything, last = len(tableau.nodes), tableau.stages - 1
    nodes = jnp.asarray(tableau.nodes, t.dtype)
    combined = _combiner(tableau.matrix.T, bars.y)

    def stage(carry: tuple[Int[Array, ""], Pulled]) -> tuple[Int[Array, ""], Pulled]:
        index, back = carry
        slope_bar = h * combined(index, back.points)
        slope_bar += jnp.where(index == last, bars.f, 0)
        if bars.slopes is not None:
            slope_bar += bars.slopes[index]
        slope, pull = bound.linearized(t + nodes[index] * h, points[index - 1])
        point_bar, params_bar = pull(slope_bar)
        point_bar += jnp.where(index == last, bars.y, 0)
        following = Pulled(
            y=back.y + point_bar,
            f=back.f,
            params=jax.tree.map(jnp.add, back.params, params_bar),
            points=put(back.points, index, point_bar),
            slopes=None if back.slopes is None else put(back.slopes, index, slope),
        )
        return index - 1, following

    top, point_bars = jnp.asarray(last, jnp.int32), room.points
    if tableau.extra:
        top = jnp.where(fill, everything - 1, top)
        point_bars = point_bars.at[last + 1 :].set(0)
    y_bar = jnp.zeros_like(room.y)
    if closing is not True:
        top, y_bar = jnp.where(closing, top, last - 1), jnp.where(closing, y_bar, bars.y)
        point_bars = put(point_bars, jnp.asarray(last), bars.y)
    begun = room._replace(y=y_bar, points=point_bars)
    _, back = lax.while_loop(lambda carry: carry[0] > 0, stage, (top, begun))
    f_bar = h * weigh(tableau.matrix[:, 0], back.points)
    if bars.slopes is None or back.slopes is None:
        return back._replace(f=f_bar)
    slopes = put(back.slopes, jnp.zeros_like(top), points[everything - 1])
    return back._replace(f=f_bar + bars.slopes[0], slopes=slopes)


def _combiner(
    matrix: Float[np.ndarray, "combinations stages"], y: Float[Array, "size *lanes"]
) -> Callable[[Int[Array, ""], Float[Array, "stages size *lanes"]], Float[Array, "size *lanes"]]:
    """`combined(index, rows)`, which weighs the rows by `matrix[index]`; `y` is as large as one."""
    if y.ndim > 1 or y.size > FEW:
        branches = [functools.partial(weigh, weights) for weights in matrix]
        return lambda index, rows: lax.switch(index, branches, rows)
    table, used = jnp.asarray(matrix, y.dtype), np.flatnonzero(matrix.any(axis=0)).tolist()

    def combined(index: Int[Array, ""], rows: Array) -> Array:
        weights = table[index]
        # What has no weight may be of a step that failed, and not finite.
        terms = [jnp.where(weights[s] == 0, 0, weights[s] * rows[s]) for s in used]
        return functools.reduce(operator.add, terms)

    return combined
