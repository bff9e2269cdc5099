"""Backsolve: the continuous adjoint of Chen et al. (2018), appendix B and C.

One augmented problem is solved backwards between save times: the state again, its adjoint, and the
parameter gradient. The last is a quadrature: it rides along with the Runge-Kutta weights and is
left out of the error norm. The state is set back to the saved value at each save time. Memory does
not depend on the number of steps; the gradient is that of the exact flow, not of the computed one,
and is only as good as the backward solve.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..field import Field, Params
from ..loop import Rules, State, Task, integrate
from ..sharding import vary, varying_axes
from ..status import Status


def backsolve(rules: Rules, field: Field, params: Params, task: Task) -> State:
    """Solve; reverse mode solves the adjoint equation backwards in time."""

    @jax.custom_vjp
    def run(params: Params, task: Task) -> State:
        return integrate(rules, field, params, task, record=False)

    def run_forward(params: Params, task: Task):
        state = run(params, task)
        return state, (params, task, state.saved.ys, state.status)

    def run_backward(kept, cotangent: State):
        params, task, ys, status = kept
        good = status == Status.SUCCESS
        wide = good[:, None, None]
        return _adjoint(
            rules,
            field,
            (params, task, jnp.where(wide, ys, 0), good),
            jnp.where(wide, cotangent.saved.ys, 0),
        )

    run.defvjp(run_forward, run_backward)
    return run(params, task)


def _augmented(field: Field, size: int):
    """The field of (y, adjoint, parameter gradient) in reversed time: an evaluation and one VJP."""

    def lane(
        t: Float[Array, ""], z: Float[Array, " augmented"], params: Params
    ) -> Float[Array, " augmented"]:
        y, adjoint = z[:size], z[size : 2 * size]
        slope, pull = jax.vjp(
            lambda y, inexact: field.lane(-t, y, params.replace(inexact)), y, params.inexact
        )
        y_bar, params_bar = pull(adjoint)
        return jnp.concatenate([-slope, y_bar, ravel_pytree(params_bar)[0].astype(y.dtype)])

    return field._replace(lane=lane)


def _adjoint(rules: Rules, field: Field, kept, ys_bar: Float[Array, "lanes times size"]):
    params, task, ys, good = kept
    lanes, size = task.y0.shape
    flat, unravel = ravel_pytree(field.first(params).inexact)
    augmented = _augmented(field, size)
    rules = rules._replace(measured=2 * size)
    # A lane that failed has gradient zero: its spans are empty; what it computed is dropped below.
    edges = jnp.concatenate(
        [task.t0[:, None], jnp.where(good[:, None], task.ts, task.t0[:, None])], axis=1
    )

    def segment(carry, index):
        adjoint, quadrature, failed = carry
        adjoint += ys_bar[:, index]
        t1, t0 = edges[:, index + 1], edges[:, index]
        start = jnp.concatenate([ys[:, index], adjoint, quadrature], axis=1)
        back = Task(start, -t1, -t0, -t0[:, None], task.rtol, task.atol, None, _grid(task, t0, t1))
        state = integrate(rules, augmented, params, back, record=False)
        slope = field(t1, ys[:, index], params)
        carry = (
            state.y[:, size : 2 * size],
            state.y[:, 2 * size :],
            failed | (state.status != Status.SUCCESS),
        )
        return carry, jnp.where(good, jnp.sum(slope * ys_bar[:, index], axis=1), 0)

    carry = (
        jnp.zeros_like(task.y0),
        jnp.zeros((lanes, flat.shape[0]), task.y0.dtype),
        jnp.zeros(lanes, bool),
    )
    carry = vary(carry, varying_axes((params, task, ys_bar)))
    (y_bar, quadrature, failed), ts_bar = jax.lax.scan(
        segment, carry, jnp.arange(task.ts.shape[1]), reverse=True
    )
    # A backward solve that failed has no gradient to give: NaN says so, where a number would lie.
    y_bar, quadrature = (
        jnp.where(good[:, None], jnp.where(failed[:, None], jnp.nan, bar), 0)
        for bar in (y_bar, quadrature)
    )
    lane_bar = jax.vmap(unravel)(quadrature.astype(flat.dtype))
    params_bar = [
        jnp.sum(leaf, axis=0) if axis is None else leaf
        for leaf, axis in zip(lane_bar, field.axes.inexact, strict=True)
    ]
    t0_bar = jnp.where(good, -jnp.sum(y_bar * field(task.t0, task.y0, params), axis=1), 0)
    task_bar = jax.tree.map(jnp.zeros_like, task)._replace(y0=y_bar, t0=t0_bar, ts=ts_bar.T)
    # What is not differentiated has no cotangent.
    return Params(params_bar, None), task_bar  # pyright: ignore[reportArgumentType]


def _grid(task: Task, t0: Float[Array, " lanes"], t1: Float[Array, " lanes"]):
    """For fixed steps: as many in this stretch as the forward solve took in all, at most."""
    if task.grid is None:
        return None
    points = jnp.linspace(0, 1, task.grid.shape[1], dtype=t0.dtype)
    return -t1[:, None] + (t1 - t0)[:, None] * points
