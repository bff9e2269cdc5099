"""Replay: the exact gradient of the computed solution, from a record of its accepted steps.

The forward loop keeps where each accepted step began. The backward loop walks them from the last to
the first and pulls the cotangent through one step at a time: no rejected step, no padding, memory
O(steps x state). Step sizes are held fixed, as in "discretise, then optimise" everywhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ..field import Field, Params
from ..loop import Rules, State, Task, integrate
from ..observe import time_at
from ..sharding import vary, varying_axes
from ..status import Status
from ..step import Step, output_weights, runge_kutta_step


class Pullback(NamedTuple):
    """What the backward loop carries: steps and save times left to undo, cotangents so far."""

    steps: Int[Array, " lanes"]
    count: Int[Array, " lanes"]
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
        return state._replace(record=None), (
            params,
            task,
            state.record,
            state.counts,
            state.status,
            state.saved.count,
        )

    def run_backward(kept, cotangent: State):
        params, task, record, counts, status, count = kept
        good = status == Status.SUCCESS
        ys_bar = jnp.where(good[:, None, None], cotangent.saved.ys, 0)
        safe = _stand_in(field, params, task, good)
        start = _begin(*safe, jnp.where(good, counts.accepted, 0), count)
        end = _undo_all(rules, field, (*safe, record), ys_bar, start)
        bars = _finish(field, safe, ys_bar, end)
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


def _begin(
    params: Params, task: Task, steps: Int[Array, " lanes"], count: Int[Array, " lanes"]
) -> Pullback:
    zero = jnp.zeros_like(task.y0)
    start = Pullback(
        steps,
        count,
        zero,
        zero,
        jax.tree.map(jnp.zeros_like, params.inexact),
        jnp.zeros_like(task.ts),
    )
    return vary(start, varying_axes((params, task, steps)))


def _undo_all(
    rules: Rules, field: Field, kept, ys_bar: Float[Array, "lanes times size"], start: Pullback
) -> Pullback:
    params, task, record = kept

    def undo(back: Pullback) -> Pullback:
        return _undo_step(rules, field, (params, task, record), ys_bar, back)

    return jax.lax.while_loop(lambda back: jnp.any(back.steps > 0), undo, start)


def _undo_step(
    rules: Rules, field: Field, kept, ys_bar: Float[Array, "lanes times size"], back: Pullback
) -> Pullback:
    """Pull the cotangents through the last step that is left in each lane."""
    params, task, record = kept
    active = back.steps > 0
    entry = record.read(jnp.maximum(back.steps - 1, 0))
    # Lanes without a step left wait at their start, where the field is known to be finite.
    entry = entry._replace(
        t=jnp.where(active, entry.t, task.t0), y=jnp.where(active[:, None], entry.y, task.y0)
    )
    size = jnp.where(active, entry.h, 0)
    fill = jnp.any(active & (entry.count < back.count))

    def take(y, f, inexact) -> Step:
        return runge_kutta_step(
            rules.tableau, field, params.replace(inexact), (entry.t, y, f), size, fill
        )

    step, pull = jax.vjp(take, entry.y, entry.f, params.inexact)
    keep = active[:, None]
    slopes_bar = (
        jnp.zeros_like(step.slopes).at[rules.tableau.stages - 1].set(jnp.where(keep, back.f, 0))
    )
    y_bar, slopes_bar, ts_bar, _ = _undo_saves(
        rules, task, (entry, active, step), ys_bar, (back, slopes_bar)
    )
    y_step, f_step, params_bar = pull(Step(jnp.where(keep, back.y, 0), slopes_bar))
    return Pullback(
        steps=jnp.maximum(back.steps - 1, 0),
        count=jnp.where(active, entry.count, back.count),
        y=jnp.where(keep, y_step + y_bar, back.y),
        f=jnp.where(keep, f_step, back.f),
        params=jax.tree.map(jnp.add, back.params, params_bar),
        ts=ts_bar,
    )


def _undo_saves(rules: Rules, task: Task, kept, ys_bar: Float[Array, "lanes times size"], start):
    """Cotangents of the saves inside a step: on its start, its stages, and the times themselves."""
    entry, active, step = kept
    back, slopes_bar = start
    lane = jnp.arange(entry.t.shape[0])
    size = jnp.where(active & (entry.h > 0), entry.h, 1)

    def pending(carry):
        return active & (carry[3] > entry.count)

    def undo(carry):
        y_bar, slopes_bar, ts_bar, count = carry
        now = pending(carry)
        index = jnp.maximum(count - 1, 0)
        value_bar = jnp.where(now[:, None], ys_bar[lane, index], 0)
        weights, derivative = output_weights(
            rules.tableau, (time_at(task.ts, index) - entry.t) / size
        )
        slope = jnp.einsum("ls,sln->ln", derivative, step.slopes)
        slopes_bar += (size[:, None] * weights).T[:, :, None] * value_bar
        ts_bar = ts_bar.at[lane, index].add(jnp.where(now, jnp.sum(slope * value_bar, axis=1), 0))
        return y_bar + value_bar, slopes_bar, ts_bar, jnp.where(now, index, count)

    carry = (jnp.zeros_like(back.y), slopes_bar, back.ts, back.count)
    carry = vary(carry, varying_axes((carry, task)))
    return jax.lax.while_loop(lambda carry: jnp.any(pending(carry)), undo, carry)


def _finish(field: Field, kept, ys_bar: Float[Array, "lanes times size"], end: Pullback):
    """Through the first evaluation to y0 and the parameters, and the cotangents of the times."""
    params, task = kept
    f0, pull = jax.vjp(
        lambda y, inexact: field(task.t0, y, params.replace(inexact)), task.y0, params.inexact
    )
    y_bar, params_bar = pull(end.f)
    untouched = jnp.arange(task.ts.shape[1]) < end.count[:, None]
    direct = jnp.where(untouched[:, :, None], ys_bar, 0)
    y_bar += end.y + jnp.sum(direct, axis=1)
    # Moving t0 alone moves the whole trajectory by -f(t0, y0): the continuous formula, right to
    # the tolerance.
    t0_bar = -jnp.sum(y_bar * f0, axis=1)
    ts_bar = end.ts + jnp.einsum("ltn,ln->lt", direct, f0)
    task_bar = jax.tree.map(jnp.zeros_like, task)._replace(y0=y_bar, t0=t0_bar, ts=ts_bar)
    return Params(jax.tree.map(jnp.add, end.params, params_bar), None), task_bar
