"""The stepping loop. All lanes advance together, each with its own clock, step size and status.

A coupled batch is one lane; independent trajectories are many. The loop does not know what becomes
of its steps: `observe` fills save times, `record` keeps what an adjoint replays.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import observe
from .control import Controller, Tolerance, first_step
from .implicit import Mode
from .record import Record, Start, empty_record
from .sharding import vary, varying_axes
from .status import Status
from .step import Field, Step, error_estimates
from .stepping import Cost, cost_of, first_mode, take_step
from .tableaus import Method, Switching


class Rules(NamedTuple):
    """How to step: static for a whole solve, and hashable by identity.

    Attributes:
        measured: components from this one on are not in the error norm (None: all are).
        record_bytes: what the states of a record may take.
    """

    tableau: Method
    controller: Controller
    measured: int | None
    max_steps: int
    record_bytes: int = 0

    def capacity(self, task: Task) -> int:
        """How many steps there can be."""
        return self.max_steps if task.grid is None else task.grid.shape[1] - 1


class Task(NamedTuple):
    """What to solve, in the loop's own terms: time runs forward, a state is one row a lane."""

    y0: Float[Array, "lanes size"]
    t0: Float[Array, " lanes"]
    t1: Float[Array, " lanes"]
    ts: Float[Array, "lanes times"]
    rtol: Float[Array, " lanes"]
    atol: Float[Array, " lanes"]
    dt0: Float[Array, " lanes"] | None
    grid: Float[Array, "lanes points"] | None


class Counts(NamedTuple):
    """Steps of each lane so far.

    Attributes:
        filled: attempts that evaluated the extra stages of dense output.
        replayed: accepted steps with a save time in them, the end included: an adjoint that
            replays them evaluates those stages again.
    """

    accepted: Int[Array, " lanes"]
    rejected: Int[Array, " lanes"]
    filled: Int[Array, " lanes"]
    replayed: Int[Array, " lanes"]


class State(NamedTuple):
    """What the loop carries."""

    t: Float[Array, " lanes"]
    h: Float[Array, " lanes"]
    y: Float[Array, "lanes size"]
    f: Float[Array, "lanes size"]
    previous: Float[Array, "lanes 2"]
    status: Int[Array, " lanes"]
    component: Int[Array, " lanes"]
    counts: Counts
    saved: observe.Saved
    record: Record | None
    mode: Mode | None


def cost(rules: Rules, task: Task, state: State) -> Cost:
    """The evaluations (NFE) that each lane has cost: exact, from its steps."""
    counts, method = state.counts, rules.tableau
    first = 1 + (task.grid is None and task.dt0 is None)
    steps = counts.accepted + counts.rejected
    spent = cost_of(method, steps, None if state.mode is None else state.mode.attempts)
    every = first + spent.evaluations + counts.filled * len(method.extra)
    return spent._replace(evaluations=every)


def integrate(rules: Rules, field: Field, params: Any, task: Task, record: bool) -> State:
    """Step from t0 to t1 in every lane, or until it fails; `record` keeps what an adjoint needs."""
    state = _begin(rules, field, params, task, record)

    def running(state: State) -> Bool[Array, ""]:
        return jnp.any(state.status == Status.RUNNING)

    def body(state: State) -> State:
        return _advance(rules, field, params, task, state)

    return jax.lax.while_loop(running, body, state)


def _begin(rules: Rules, field: Field, params: Any, task: Task, record: bool) -> State:
    y0, t0 = task.y0, task.t0
    f0 = field(t0, y0, params)
    if task.grid is not None:
        h = task.grid[:, 1] - task.grid[:, 0]
    elif task.dt0 is not None:
        h = task.dt0
    else:
        tolerance = Tolerance(task.rtol, task.atol, rules.measured)
        h = jnp.maximum(
            first_step(rules.tableau, field, params, (t0, y0, f0), tolerance), _shortest(task, t0)
        )
    bad = ~jnp.isfinite(f0) | ~jnp.isfinite(y0)
    timeless = ~jnp.all(jnp.isfinite(task.ts), axis=1) | ~jnp.isfinite(t0)
    status = jnp.where(task.t1 > t0, Status.RUNNING, Status.SUCCESS)
    status = jnp.where(jnp.any(bad, axis=1) | timeless, Status.NON_FINITE, status).astype(jnp.int32)
    none = jnp.zeros_like(status)
    state = State(
        t=t0,
        h=jax.lax.stop_gradient(h),
        y=y0,
        f=f0,
        previous=jnp.ones((y0.shape[0], 2), y0.dtype),
        status=status,
        component=_first(bad),
        counts=Counts(none, none, none, none),
        saved=observe.begin(task.ts, t0, y0),
        record=empty_record(
            rules.capacity(task), t0, y0, rules.record_bytes, isinstance(rules.tableau, Switching)
        )
        if record
        else None,
        mode=first_mode(rules.tableau, y0),
    )
    return vary(state, varying_axes((task, f0)))


def _advance(rules: Rules, field: Field, params: Any, task: Task, state: State) -> State:
    """One attempt at a step in every running lane."""
    running = state.status == Status.RUNNING
    remaining = task.t1 - state.t
    if task.grid is None:
        last = state.h >= remaining * (1 - 1e-6)
    else:
        last = state.counts.accepted >= task.grid.shape[1] - 2
    # The step is what the clock advances by: in float32 and far from t=0 these differ.
    end = jnp.where(last, task.t1, state.t + state.h)
    h = jnp.where(running, end - state.t, 0)
    mode = state.mode
    stiff = None if mode is None else mode.stiff
    fill = running & observe.wants_output(task.ts, state.saved.passed, end)
    start = state.t, state.y, state.f
    step = take_step(rules.tableau, field, params, start, h, jnp.any(fill), stiff=stiff)
    accepted, ratio, bad = _judge(rules, task, state, step, h)
    accepted &= running
    record = state.record
    if record is not None:
        record = record.write(state.counts.accepted, end, Start(state.y, state.f), accepted, stiff)
    saved = observe.save(
        rules.tableau, task.ts, state.saved, (state.t, state.y), (h, end, step, accepted)
    )
    counts = Counts(
        state.counts.accepted + accepted,
        state.counts.rejected + (running & ~accepted),
        state.counts.filled + fill,
        state.counts.replayed + (saved.passed > state.saved.passed),
    )
    moved = accepted[:, None]
    following = State(
        t=jnp.where(accepted, end, state.t),
        h=state.h,
        y=jnp.where(moved, step.y, state.y),
        f=jnp.where(moved, step.last(rules.tableau), state.f),
        previous=jnp.where(moved, jnp.stack([ratio, state.previous[:, 0]], axis=1), state.previous),
        status=state.status,
        component=jnp.where(running & jnp.any(bad, axis=1), _first(bad), state.component),
        counts=counts,
        saved=saved,
        record=record,
        mode=mode,
    )
    if mode is not None:
        point, attempt = (following.t, following.y), (h, running, accepted)
        mode = mode.after(rules.tableau, (field, params), point, attempt)
        following = following._replace(mode=mode)
    h = _next_size(rules, task, state, following, (h, ratio, running))
    status = _next_status(rules, task, following, (h, running, accepted, jnp.any(bad, axis=1)))
    return following._replace(h=h, status=status)


def _shortest(task: Task, t: Float[Array, " lanes"]) -> Float[Array, " lanes"]:
    """The shortest step worth a try: two spacings of the numbers around t."""
    scale = jnp.maximum(jnp.abs(t), jnp.abs(task.t1 - task.t0) * 1e-6)
    return jax.lax.stop_gradient(2 * jnp.finfo(t.dtype).eps * scale)


def _first(bad: Bool[Array, "lanes size"]) -> Int[Array, " lanes"]:
    """The index of the first component at fault in each lane (0 if there is none)."""
    return (
        jnp.argmax(bad, axis=1).astype(jnp.int32)
        if bad.shape[1]
        else jnp.zeros(bad.shape[0], jnp.int32)
    )


def _judge(rules: Rules, task: Task, state: State, step: Step, h: Float[Array, " lanes"]):
    """Whether the step may stand, its error ratio, and which components went non-finite."""
    slope = step.last(rules.tableau)
    bad = jax.lax.stop_gradient(~jnp.isfinite(step.y) | ~jnp.isfinite(slope))
    finite = ~jnp.any(bad, axis=1)
    if task.grid is not None:
        return finite, jnp.zeros_like(h), bad
    tolerance = Tolerance(task.rtol, task.atol, rules.measured)
    ratio = tolerance.ratio(error_estimates(rules.tableau, step, h), state.y, step.y)
    ratio = jax.lax.stop_gradient(jnp.where(finite, ratio, jnp.nan))
    return finite & (ratio <= 1), ratio, bad


def _next_size(
    rules: Rules, task: Task, state: State, following: State, attempt
) -> Float[Array, " lanes"]:
    """The next step size: from the grid, or from the controller."""
    h, ratio, running = attempt
    if task.grid is not None:
        points = task.grid.shape[1]
        index = jnp.minimum(following.counts.accepted, points - 2)[:, None]
        ends = jnp.take_along_axis(task.grid, index + 1, axis=1)[:, 0]
        return ends - following.t
    factor = rules.controller.factor(rules.tableau, ratio, state.previous)
    following_h = jnp.maximum(h * factor, _shortest(task, following.t))
    return jax.lax.stop_gradient(jnp.where(running, following_h, state.h))


def _next_status(rules: Rules, task: Task, following: State, attempt) -> Int[Array, " lanes"]:
    """Whether a lane goes on, is done, or has failed, and why."""
    h, running, accepted, bad = attempt
    stuck = ~accepted & ((h <= _shortest(task, following.t)) | (task.grid is not None))
    attempts = following.counts.accepted + following.counts.rejected
    status = jnp.where(attempts >= rules.max_steps, Status.MAX_STEPS, Status.RUNNING)
    status = jnp.where(stuck, jnp.where(bad, Status.NON_FINITE, Status.STEP_UNDERFLOW), status)
    status = jnp.where(accepted & (following.t >= task.t1), Status.SUCCESS, status)
    return jnp.where(running, status, following.status).astype(jnp.int32)
