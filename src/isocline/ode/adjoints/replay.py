"""Replay: the exact gradient of the computed solution, from a record of its accepted steps.

The forward loop notes every accepted step. The backward loop walks them from the last to the
first and pulls the cotangent through one step at a time: no rejected step, no padding. Step sizes
are held fixed, as in "discretise, then optimise" everywhere. Of many trajectories each bunch is
solved again, now with a record, and walked back at once, so that memory does not grow with their
number. Those that were solved alone are so again.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .. import observe
from ..field import Bound, Field, Params
from ..lanes import (
    few_of,
    in_bunches,
    in_many_bunches,
    integrate_all,
    integrate_together,
    one_by_one,
    width_for,
)
from ..loop import Outcome, State, first_steps, integrate, record_size
from ..record import Record, empty_record
from ..refusing import NO_SECOND, forward_only
from ..sharding import vary, varying_axes
from ..status import Status, succeeded
from ..step import Bars, Pulled, Taken
from ..stepping import between, note_rows, output_weights, pull_room, pull_step, rows_of
from ..tableaus import Switching
from ..task import Rules, Task, closes
from ..vmapped import mappable
from .walk import Walk


class Pullback(NamedTuple):
    """Cotangents so far, and how many save times are left to undo.

    Attributes:
        pulled: of state, slope and parameters where the walk is now.
        ts: of the save times.
    """

    left: Int[Array, "*lanes"]
    pulled: Pulled
    ts: Float[Array, "times *lanes"]


def replay(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve with a record of the accepted steps; reverse mode walks it back."""

    def simply(field: Field, params: Params, task: Task, _: Any, __: Any):
        return integrate_all(rules, field, params, task), None

    def noting(one: Field, params: Params, task: Task, _: Any, __: Any):
        if one is not field or in_many_bunches(one, task):
            return simply(one, params, task, None, None)
        first = first_steps(rules, one, params, task)
        solved = integrate_together(rules, one, params, task, first, _room(rules, task))
        return solved.at, solved

    def back(one: Field, params: Params, task: Task, rest: Any, solved: State | None):
        params_bar, task_bar = _backward(rules, one, (params, task), rest, solved)
        axes = one.axes.inexact
        if one.batched and not field.batched:
            params_bar = [jnp.moveaxis(bar, axis, -1) for bar, axis in zip(params_bar, axes)]
        return (params_bar, task_bar), None

    @jax.custom_vjp
    def run(params: Params, task: Task) -> Outcome:
        return mappable(simply, field)(params, task, None, None)[0]

    def run_forward(params: Params, task: Task):
        outcome, solved = mappable(noting, field)(params, task, None, None)
        ending = outcome.status, outcome.counts.accepted, outcome.alone
        return outcome, (params, task, ending, solved)

    def run_backward(kept, cotangent: Outcome):
        params, task, ending, solved = kept
        rest = *ending, cotangent.saved.ys, cotangent.y
        (params_bar, task_bar), _ = mappable(back, field, own=True)(params, task, rest, solved)
        # What is not differentiated has no cotangent.
        bars = Params(params_bar, None), task_bar  # pyright: ignore[reportArgumentType]
        return forward_only(bars, NO_SECOND)

    run.defvjp(run_forward, run_backward)
    return run(params, task)


def _backward(
    rules: Rules, field: Field, given: tuple[Params, Task], rest: Any, solved: State | None
) -> tuple[list[Any], Task]:
    """Cotangents of parameters and task; `solved` is of a single bunch, if it was recorded."""
    (params, task), (status, accepted, alone, ys_bar, end_bar) = given, rest
    good = succeeded(status)
    together = good & ~alone
    bars = jnp.where(together, ys_bar, 0), jnp.where(together, end_bar, 0)
    safe = _stand_in(field, params, task, together)
    if solved is None:
        found = _bunch_by_bunch(rules, field, safe, accepted, bars)
    else:
        found = _walk_back(rules, field, safe, solved, bars)
    if few_of(rules, field, task):
        found = _one_by_one(rules, field, given, good & alone, (ys_bar, end_bar), found)
    params_bar, task_bar = jax.tree.map(lambda bar: jnp.where(jnp.any(good), bar, 0), found)
    return params_bar, jax.tree.map(jnp.zeros_like, task)._replace(**task_bar)


def _room(rules: Rules, task: Task) -> Record:
    rows = note_rows(rules.tableau, task.between)
    switches = isinstance(rules.tableau, Switching)
    # An event may end a step before the grid does; and lanes that fail wait, each at a time of its
    # own.
    on_grid = task.grid is not None and not task.t1.ndim and not rules.events
    size = record_size(rules, task)
    return empty_record(size, rows, task.y0, switches=switches, timed=not on_grid)


def _recorded(rules: Rules, field: Field, params: Params, task: Task, room: Record) -> State:
    """Solve, with a record."""
    first = first_steps(rules, field, params, task)
    return integrate(rules, field, params, task, first, room)


def _stand_in(
    field: Field, params: Params, task: Task, good: Bool[Array, "*lanes"]
) -> tuple[Params, Task]:
    """Failed lanes made copies of a healthy one, that are over before they begin.

    Where their own Jacobian is NaN, 0 * NaN would reach the shared parameters.
    """
    if not field.batched:
        return params, task._replace(t1=jnp.where(good, task.t1, 0))
    lane = jnp.where(good, jnp.arange(good.shape[0]), jnp.argmax(good))
    y0 = jnp.take(task.y0, lane, axis=-1)
    return field.take(params, lane), task._replace(y0=y0, t1=jnp.where(good, task.t1, 0))


def _bunch_by_bunch(
    rules: Rules, field: Field, safe: tuple[Params, Task], accepted: Int[Array, " lanes"], bars: Any
):
    """The gradient of more lanes than step together; of like cost together, which is known now."""
    params, task = safe
    rules = rules._replace(meter=None, dense=False)
    shared = [axis is None for axis in field.axes.inexact]
    own_axes = [axis for axis in field.axes.inexact if axis is not None]

    def work(carry: Any, params: Params, task: Task, bars: Any) -> tuple[Any, Any]:
        record, sums = carry
        solved = _recorded(rules, field, params, task, record.emptied())
        params_bar, task_bar = _walk_back(rules, field, (params, task), solved, bars)
        added, own = _sorted(params_bar, shared)
        own = [jnp.moveaxis(bar, axis, -1) for bar, axis in zip(own, own_axes, strict=True)]
        return (solved.record, list(map(jnp.add, sums, added))), (own, task_bar)

    some = jax.tree.map(lambda leaf: leaf[..., : width_for(task.y0)], task)
    sums, _ = _sorted([jnp.zeros_like(leaf) for leaf in params.inexact], shared)
    carry = vary((_room(rules, some), sums), varying_axes((params, task, bars)))
    inputs = params, task, bars
    (_, sums), (own, task_bar) = in_bunches(work, carry, field, inputs, jnp.argsort(accepted))
    own = [jnp.moveaxis(bar, -1, axis) for bar, axis in zip(own, own_axes, strict=True)]
    sums, own = iter(sums), iter(own)
    return [next(sums) if mine else next(own) for mine in shared], task_bar


def _one_by_one(
    rules: Rules, field: Field, given: Any, chosen: Bool[Array, " lanes"], bars: Any, found: Any
):
    """What is found, and with it the gradient of the lanes that were solved alone."""
    rules = rules._replace(meter=None, dense=False)
    axes = field.axes.inexact

    def work(found: Any, lane: Int[Array, " 1"], params: Params, task: Task) -> Any:
        (params_bar, task_bar), own = found, [jnp.take(bar, lane, axis=-1) for bar in bars]
        solved = _recorded(rules, field, params, task, _room(rules, task))
        more, task_more = _walk_back(rules, field, (params, task), solved, own)
        pairs = zip(params_bar, more, axes, strict=True)
        params_bar = [_added(bar, one, axis, lane) for bar, one, axis in pairs]
        task_bar = {name: _added(bar, task_more[name], -1, lane) for name, bar in task_bar.items()}
        return params_bar, task_bar

    return one_by_one(work, found, field, given, chosen)


def _added(all_bars: Array, bar: Array, axis: int | None, lane: Int[Array, " 1"]) -> Array:
    """With a cotangent more: of what all lanes share, or, along an axis, of one lane."""
    if axis is None:
        return all_bars + bar
    return jnp.moveaxis(
        jnp.moveaxis(all_bars, axis, 0).at[lane].add(jnp.moveaxis(bar, axis, 0)), 0, axis
    )


def _sorted(leaves: list[Any], shared: list[bool]) -> tuple[list[Any], list[Any]]:
    """The leaves that all lanes share, and those of which each has its own."""
    pairs = list(zip(leaves, shared, strict=True))
    return [leaf for leaf, mine in pairs if mine], [leaf for leaf, mine in pairs if not mine]


def _walk_back(
    rules: Rules, field: Field, safe: tuple[Params, Task], solved: State, bars: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Cotangents of parameters and task, from those of the saved values and the last state."""
    (params, task), (ys_bar, end_bar) = safe, bars
    healthy, record = task.t1 > 0, cast(Record, solved.record)
    passed = solved.at.saved.passed
    index = jnp.arange(task.ts.shape[0]).reshape((-1,) + (1,) * passed.ndim)
    # No save time is read after an event, or after the end of a part of a solve.
    ys_bar = jnp.where((index < passed)[:, None], ys_bar, 0)
    walk = Walk(rules, Bound(field, params), task, jnp.where(jnp.any(healthy), solved.row, 0))
    # Where the cotangents of the times are not asked for, the compiler drops this.
    f_end = solved.at.f if closes(rules, task) else walk.bound(solved.at.t, solved.at.y)
    f_end = jnp.where(healthy, f_end, 0)
    bars = ys_bar, end_bar
    start = vary(
        _begin(walk, (solved.at.y, f_end, passed), bars),
        varying_axes((params, task, record, bars)),
    )

    def fill(t: Float[Array, "*lanes"], end: Float[Array, "*lanes"]) -> Bool[Array, ""]:
        return jnp.any(_inside(walk, t, end))

    end = walk.back(record, fill, lambda step, back: _undo_step(walk, step, ys_bar, back), start)
    params_bar, task_bar = _finish(walk, ys_bar, end)
    # The time of an event does not move with t1.
    arrived = solved.at.status == Status.SUCCESS
    t1_bar = jnp.where(arrived, jnp.sum(f_end * end_bar, axis=0), 0)
    return params_bar, task_bar | {"t1": t1_bar}


def _inside(
    walk: Walk, t: Float[Array, "*lanes"], end: Float[Array, "*lanes"]
) -> Bool[Array, "*lanes"]:
    """Whether a save time lies strictly between the ends of a step: then output has stages more."""
    if not (walk.task.between and walk.rules.tableau.extra):
        return jnp.zeros_like(t, bool)
    return jnp.any((walk.task.ts > t) & (walk.task.ts < end), axis=0)


def _begin(walk: Walk, end: tuple[Array, Array, Array], bars: Any) -> Pullback:
    """Cotangents at the end, of which state, field and save times passed are given."""
    task, (y_end, f_end, passed), (ys_bar, end_bar) = walk.task, end, bars
    pulled = pull_room(walk.rules.tableau, y_end, walk.bound.params, task.between)
    left, ts_bar = passed, jnp.zeros_like(task.ts)
    if not task.between:
        reached = (task.t1 > 0) & (passed > 0)
        end_bar += jnp.where(reached, ys_bar[0], 0)
        ts_bar += jnp.sum(f_end * ys_bar[0], axis=0)
        left -= reached
    return Pullback(left, pulled._replace(y=end_bar), ts_bar)


def _undo_step(
    walk: Walk, step: Taken, ys_bar: Float[Array, "times size *lanes"], back: Pullback
) -> Pullback:
    """Pull the cotangents through one step of each lane that has it."""
    task, active, room = walk.task, step.active, back.pulled
    bars = Bars(jnp.where(active, room.y, 0), jnp.where(active, room.f, 0), None)
    span, direct, ts_bar = (back.left, back.left), 0, back.ts
    if task.between:
        before = jnp.sum(task.ts <= step.t, axis=0, dtype=jnp.int32)
        span = jnp.where(active, before, back.left), back.left
        slopes_bar, direct = _undo_saves(walk, step, span, ys_bar)
        bars = bars._replace(slopes=slopes_bar)
    fill = jnp.any(_inside(walk, step.t, step.end))
    closing = closes(walk.rules, task) or jnp.any(active & (step.end < task.t1))
    pulled = pull_step(walk.rules.tableau, walk.bound, step, bars, (fill, closing), room)
    if pulled.slopes is not None:
        ts_bar = _undo_times(walk, step, span, ys_bar, (pulled.slopes, ts_bar))
    y_bar, f_bar = (
        jnp.where(active, pulled.y + direct, room.y),
        jnp.where(active, pulled.f, room.f),
    )
    return Pullback(span[0], pulled._replace(y=y_bar, f=f_bar), ts_bar)


def _undo_saves(walk: Walk, step: Taken, span: Any, ys_bar: Float[Array, "times size *lanes"]):
    """Cotangents of the saves inside a step, on its stages and on its start."""
    before, after = span
    size = jnp.where(step.active, step.h, 1)

    def undo(carry):
        slopes_bar, direct, count = carry
        now, index = count > before, jnp.maximum(count - 1, 0)
        value_bar = jnp.where(now, observe.entry(ys_bar, index), 0)
        theta = jnp.where(now, (observe.time_at(walk.task.ts, index) - step.t) / size, 0)
        weights, _ = output_weights(walk.rules.tableau, theta)
        slopes_bar += (size * weights)[:, None] * value_bar
        return slopes_bar, direct + value_bar, jnp.where(now, index, count)

    zero = jnp.zeros_like(walk.task.y0)
    carry = jnp.zeros((rows_of(walk.rules.tableau), *zero.shape), zero.dtype), zero, after
    carry = vary(carry, varying_axes((carry, walk.task, ys_bar, step)))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[-1] > before), undo, carry)[:2]


def _undo_times(walk: Walk, step: Taken, span: Any, ys_bar: Array, found: Any):
    """Cotangents of the save times inside a step: how fast the value moves there."""
    (before, after), (slopes, ts_bar), ts = span, found, walk.task.ts
    size = jnp.where(step.active, step.h, 1)

    def undo(carry):
        ts_bar, count = carry
        now, index = count > before, jnp.maximum(count - 1, 0)
        theta = jnp.where(now, (observe.time_at(ts, index) - step.t) / size, 0)
        _, derivative = output_weights(walk.rules.tableau, theta)
        speed = between(derivative, slopes)
        moved = jnp.sum(speed * observe.entry(ys_bar, index), axis=0)
        ts_bar = observe.add_at(ts_bar, index, jnp.where(now, moved, 0))
        return ts_bar, jnp.where(now, index, count)

    carry = vary((ts_bar, after), varying_axes((ts_bar, slopes, step, ys_bar, walk.task)))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[-1] > before), undo, carry)[0]


def _finish(walk: Walk, ys_bar: Float[Array, "times size *lanes"], end: Pullback):
    """Through the first evaluation to y0 and the parameters, and the cotangents of the times."""
    task, start = walk.task, jnp.zeros_like(walk.task.t1)
    f0, pull = walk.bound.linearized(start, task.y0)
    y_bar, params_bar = pull(end.pulled.f)
    untouched = jnp.arange(task.ts.shape[0]).reshape((-1,) + (1,) * start.ndim) < end.left
    direct = jnp.where(untouched[:, None], ys_bar, 0)
    y_bar += end.pulled.y + jnp.sum(direct, axis=0)
    ts_bar = end.ts + jnp.sum(direct * f0, axis=1)
    return jax.tree.map(jnp.add, end.pulled.params, params_bar), {"y0": y_bar, "ts": ts_bar}
