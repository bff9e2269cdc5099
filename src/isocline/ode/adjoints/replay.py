"""Replay: the exact gradient of the computed solution, from a record of its accepted steps.

The forward loop keeps where each accepted step began. The backward loop walks them from the last to
the first and pulls the cotangent through one step at a time: no rejected step, no padding. Where
the record had to leave states out, they are computed again, a block of steps at a time. Step sizes
are held fixed, as in "discretise, then optimise" everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .. import observe
from ..field import Field, Params
from ..loop import Rules, State, Task, integrate
from ..record import Start
from ..sharding import vary, varying_axes
from ..status import Status
from ..step import Step, output_weights
from .walk import At, Walk


class Pullback(NamedTuple):
    """Cotangents so far, and how many save times are left to undo."""

    left: Int[Array, " lanes"]
    y: Float[Array, "lanes size"]
    f: Float[Array, "lanes size"]
    params: Any
    ts: Float[Array, "lanes times"]


def replay(rules: Rules, field: Field, params: Params, task: Task) -> State:
    """Solve with a record of the accepted steps; reverse mode walks it back."""

    @jax.custom_vjp
    def run(params: Params, task: Task) -> State:
        return integrate(rules, field, params, task, record=False)

    def run_forward(params: Params, task: Task):
        state = integrate(rules, field, params, task, record=True)
        kept = params, task, state.record, state.counts.accepted, state.status
        return state._replace(record=None), kept

    def run_backward(kept, cotangent: State):
        params, task, record, accepted, status = kept
        good = status == Status.SUCCESS
        ys_bar = jnp.where(good[:, None, None], cotangent.saved.ys, 0)
        safe = _stand_in(field, params, task, good)
        walk = Walk(rules, field, *safe, jnp.where(good, accepted, 0))
        end = walk.back(record, lambda at, back: _undo_step(walk, at, ys_bar, back), _begin(walk))
        bars = _finish(walk, ys_bar, end)
        return jax.tree.map(lambda bar: jnp.where(jnp.any(good), bar, 0), bars)

    run.defvjp(run_forward, run_backward)
    return run(params, task)


def _stand_in(
    field: Field, params: Params, task: Task, good: Bool[Array, " lanes"]
) -> tuple[Params, Task]:
    """Failed lanes made copies of a healthy one.

    Where their own Jacobian is NaN, 0 * NaN would reach the shared parameters.
    """
    if field.lanes == 1:
        return params, task
    lane = jnp.where(good, jnp.arange(field.lanes), jnp.argmax(good))
    leaves = [
        leaf if axis is None else leaf[lane]
        for leaf, axis in zip(params.inexact, field.axes.inexact, strict=True)
    ]
    other = [
        leaf if axis is None else leaf[lane]
        for leaf, axis in zip(params.other, field.axes.other, strict=True)
    ]
    return Params(leaves, other), task._replace(y0=task.y0[lane], t0=task.t0[lane])


def _begin(walk: Walk) -> Pullback:
    zero = jnp.zeros_like(walk.task.y0)
    zeros = jax.tree.map(jnp.zeros_like, walk.params.inexact)
    full = jnp.full_like(walk.steps, walk.task.ts.shape[1])
    start = Pullback(full, zero, zero, zeros, jnp.zeros_like(walk.task.ts))
    return vary(start, varying_axes((walk.params, walk.task, walk.steps)))


def _undo_step(
    walk: Walk, at: At, ys_bar: Float[Array, "lanes times size"], back: Pullback
) -> Pullback:
    """Pull the cotangents through one step of each lane that has it."""
    tableau = walk.rules.tableau
    before = jnp.sum(walk.task.ts <= at.t[:, None], axis=1, dtype=jnp.int32)
    before = jnp.where(at.active, before, back.left)
    # At the end of a step as well: the slope there, a save time's cotangent, is in all stages.
    several = walk.task.ts.shape[1] > 1
    fill = at.active & (before < back.left) & several

    def take(y, f, inexact) -> Step:
        return walk.step(at, Start(y, f), walk.params.replace(inexact), jnp.any(fill))

    step, pull = jax.vjp(take, at.start.y, at.start.f, walk.params.inexact)
    keep = at.active[:, None]
    slopes_bar = jnp.zeros_like(step.slopes).at[tableau.stages - 1].set(jnp.where(keep, back.f, 0))
    bars = jnp.where(keep, back.y, 0), jnp.zeros_like(back.y), slopes_bar, back.ts
    saves = _undo_saves if several else _undo_only_save
    y1_bar, y_bar, slopes_bar, ts_bar = saves(walk, (at, step, before, back.left), ys_bar, bars)
    y_step, f_step, params_bar = pull(Step(y1_bar, slopes_bar))
    return Pullback(
        left=before,
        y=jnp.where(keep, y_step + y_bar, back.y),
        f=jnp.where(keep, f_step, back.f),
        params=jax.tree.map(jnp.add, back.params, params_bar),
        ts=ts_bar,
    )


def _undo_only_save(walk: Walk, made, ys_bar: Float[Array, "lanes 1 size"], bars):
    """A single save time is the end of the last step: its cotangent is the new state's."""
    at, step, before, after = made
    y1_bar, y_bar, slopes_bar, ts_bar = bars
    now = at.active & (before < after)
    value_bar = jnp.where(now[:, None], ys_bar[:, 0], 0)
    slope = step.last(walk.rules.tableau)
    moved = jnp.where(now, jnp.sum(slope * value_bar, axis=1), 0)
    return y1_bar + value_bar, y_bar, slopes_bar, ts_bar + moved[:, None]


def _undo_saves(walk: Walk, made, ys_bar: Float[Array, "lanes times size"], bars):
    """Cotangents of the saves inside a step: on its start, its stages, and the times themselves."""
    at, step, before, after = made
    lane = jnp.arange(at.t.shape[0])
    size = jnp.where(at.h > 0, at.h, 1)

    def pending(carry):
        return carry[-1] > before

    def undo(carry):
        y_bar, slopes_bar, ts_bar, count = carry
        now = pending(carry)
        index = jnp.maximum(count - 1, 0)
        value_bar = jnp.where(now[:, None], ys_bar[lane, index], 0)
        theta = (observe.time_at(walk.task.ts, index) - at.t) / size
        weights, derivative = output_weights(walk.rules.tableau, theta)
        slope = jnp.einsum("ls,sln->ln", derivative, step.slopes)
        slopes_bar += (size[:, None] * weights).T[:, :, None] * value_bar
        ts_bar = ts_bar.at[lane, index].add(jnp.where(now, jnp.sum(slope * value_bar, axis=1), 0))
        return y_bar + value_bar, slopes_bar, ts_bar, jnp.where(now, index, count)

    y1_bar, *bars = bars
    carry = (*bars, after)
    carry = vary(carry, varying_axes((carry, walk.task)))
    *bars, _ = jax.lax.while_loop(lambda carry: jnp.any(pending(carry)), undo, carry)
    return y1_bar, *bars


def _finish(walk: Walk, ys_bar: Float[Array, "lanes times size"], end: Pullback):
    """Through the first evaluation to y0 and the parameters, and the cotangents of the times."""
    field, params, task = walk.field, walk.params, walk.task
    f0, pull = jax.vjp(
        lambda y, inexact: field(task.t0, y, params.replace(inexact)), task.y0, params.inexact
    )
    y_bar, params_bar = pull(end.f)
    untouched = jnp.arange(task.ts.shape[1]) < end.left[:, None]
    direct = jnp.where(untouched[:, :, None], ys_bar, 0)
    y_bar += end.y + jnp.sum(direct, axis=1)
    # Moving t0 alone moves the whole trajectory by -f(t0, y0): the continuous formula, right to
    # the tolerance.
    t0_bar = -jnp.sum(y_bar * f0, axis=1)
    ts_bar = end.ts + jnp.einsum("ltn,ln->lt", direct, f0)
    task_bar = jax.tree.map(jnp.zeros_like, task)._replace(y0=y_bar, t0=t0_bar, ts=ts_bar)
    params_bar = jax.tree.map(jnp.add, end.params, params_bar)
    # What is not differentiated has no cotangent.
    return Params(params_bar, None), task_bar  # pyright: ignore[reportArgumentType]
