"""Backsolve: the continuous adjoint of Chen et al. (2018), appendix B and C.

One augmented problem is solved backwards between save times: the state again, its adjoint, and the
parameter gradient. The last is a quadrature: it rides along with the Runge-Kutta weights and is
left out of the error norm. The state is set back to the saved value at each save time. Memory does
not depend on the number of steps; the gradient is that of the exact flow, not of the computed one,
and is only as good as the backward solve.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..field import Field, Params
from ..grid import Grid
from ..lanes import integrate_all
from ..loop import Outcome
from ..refusing import NO_SECOND, forward_only
from ..sharding import vary, varying_axes
from ..status import Status
from ..task import Rules, Task


def backsolve(rules: Rules, field: Field, params: Params, task: Task) -> Outcome:
    """Solve; reverse mode solves the adjoint equation backwards in time."""

    @jax.custom_vjp
    def run(params: Params, task: Task) -> Outcome:
        return integrate_all(rules, field, params, task)

    def run_forward(params: Params, task: Task):
        outcome = integrate_all(rules, field, params, task)
        return outcome, (params, task, (outcome.t, outcome.y, outcome.saved), outcome.status)

    def run_backward(kept, cotangent: Outcome):
        params, task, (t, y, saved), status = kept
        arrived = status == Status.SUCCESS
        good, ys, bars = arrived | (status == Status.EVENT), saved.ys, cotangent.saved.ys
        if not rules.open_end:
            kept = params, task, jnp.where(good, ys, 0), good
            found = _adjoint(rules, field, kept, jnp.where(good, bars, 0))
            return forward_only(found, NO_SECOND)
        # The end is one save time more, and those that were not reached are put there.
        index = jnp.arange(ys.shape[0]).reshape((-1,) + (1,) * t.ndim)
        here = (index < saved.passed)[:, None]
        ys = jnp.concatenate([jnp.where(here, ys, y), y[None]])
        bars = jnp.concatenate([jnp.where(here, bars, 0), cotangent.y[None]])
        ts = jnp.concatenate([jnp.clip(task.ts, 0, t), t[None]])
        kept = params, task._replace(ts=ts), jnp.where(good, ys, 0), good
        params_bar, task_bar = _adjoint(rules, field, kept, jnp.where(good, bars, 0))
        *ts_bar, t1_bar = task_bar.ts
        t1_bar = jnp.where(arrived, t1_bar, 0)
        found = params_bar, task_bar._replace(ts=jnp.stack(ts_bar), t1=t1_bar)
        return forward_only(found, NO_SECOND)

    run.defvjp(run_forward, run_backward)
    return run(params, task)


def _augmented(field: Field, size: int) -> Field:
    """The field of (y, adjoint, parameter gradient), on a clock that runs back from a save time.

    An evaluation and one VJP. When that clock starts is one parameter more, one a lane.
    """

    def lane(
        t: Float[Array, ""], z: Float[Array, " augmented"], params: Params
    ) -> Float[Array, " augmented"]:
        *other, end = params.other
        params = Params(params.inexact, other)
        y, adjoint = z[:size], z[size : 2 * size]
        slope, pull = jax.vjp(
            lambda y, inexact: field.lane(end - t, y, params.replace(inexact)), y, params.inexact
        )
        y_bar, params_bar = pull(adjoint)
        return jnp.concatenate([-slope, y_bar, ravel_pytree(params_bar)[0].astype(y.dtype)])

    axis = -1 if field.batched else None
    return Field(lane, Params(field.axes.inexact, [*field.axes.other, axis]), field.batched)


def _first(field: Field, params: Params) -> list[Any]:
    """The parameters with a gradient, as the first lane has them."""
    return field.take(params, jnp.zeros((), jnp.int32)).inexact


def _adjoint(rules: Rules, field: Field, kept: Any, ys_bar: Float[Array, "times size *lanes"]):
    params, task, ys, good = kept
    size, lanes = task.y0.shape[0], task.y0.shape[1:]
    flat, unravel = ravel_pytree(_first(field, params))
    rules = rules._replace(
        measured=2 * size, meter=None, events=(), open_end=False, domain=False, dense=False
    )
    # A lane that failed has gradient zero: its spans are empty; what it computed is dropped below.
    edges = jnp.concatenate([jnp.zeros_like(task.t1)[None], jnp.where(good, task.ts, 0)])

    def segment(carry, index):
        adjoint, quadrature, failed = carry
        adjoint += ys_bar[index]
        t1, t0 = edges[index + 1], edges[index]
        start = jnp.concatenate([ys[index], adjoint, quadrature])
        span = t1 - t0
        # Of fixed steps as many in this stretch as the forward solve took in all, at most.
        grid = None if task.grid is None else Grid(task.grid.steps)
        back = Task(start, span, span[None], task.rtol, task.atol, None, grid)
        clocked = Params(params.inexact, [*params.other, t1])
        end = integrate_all(rules, _augmented(field, size), clocked, back)
        slope = field(t1, ys[index], params)
        carry = (
            end.y[size : 2 * size],
            end.y[2 * size :],
            failed | (end.status != Status.SUCCESS),
        )
        return carry, jnp.where(good, jnp.sum(slope * ys_bar[index], axis=0), 0)

    carry = (
        jnp.zeros_like(task.y0),
        jnp.zeros((flat.shape[0], *lanes), task.y0.dtype),
        jnp.zeros(lanes, bool),
    )
    carry = vary(carry, varying_axes((params, task, ys_bar)))
    (y_bar, quadrature, failed), ts_bar = jax.lax.scan(
        segment, carry, jnp.arange(task.ts.shape[0]), reverse=True
    )
    # A backward solve that failed has no gradient to give: NaN says so, where a number would lie.
    y_bar, quadrature = (
        jnp.where(good, jnp.where(failed, jnp.nan, bar), 0) for bar in (y_bar, quadrature)
    )
    quadrature = quadrature.astype(flat.dtype)
    params_bar = unravel(quadrature) if not lanes else _own(field, unravel, quadrature)
    task_bar = jax.tree.map(jnp.zeros_like, task)._replace(y0=y_bar, ts=ts_bar)
    # What is not differentiated has no cotangent.
    return Params(params_bar, None), task_bar  # pyright: ignore[reportArgumentType]


def _own(field: Field, unravel: Any, quadrature: Float[Array, "parameters lanes"]) -> list[Any]:
    """The cotangents of all lanes: added up for what they share."""
    each = jax.vmap(unravel, in_axes=-1)(quadrature)
    return [
        jnp.sum(leaf, axis=0) if axis is None else jnp.moveaxis(leaf, 0, axis)
        for leaf, axis in zip(each, field.axes.inexact, strict=True)
    ]
