"""The stepping loop. Lanes advance together, each with its own clock, step size and status.

A coupled batch is one trajectory, without an axis of lanes; of independent trajectories, lanes are
the last axis of every array, where the processor finds neighbours side by side. The loop does not
know what becomes of its steps: `observe` fills save times, `record` keeps what an adjoint replays.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import domain, events, observe
from .control import Tolerance, first_step
from .counts import Counts
from .dense import Dense, dense_room
from .field import Bound, Field, Params
from .implicit import Mode
from .progress import report
from .record import Record, Size, size_for
from .sharding import vary, varying_axes
from .status import Status
from .step import Start, Step
from .stepping import (
    error_estimates,
    first_mode,
    last_slope,
    note_rows,
    step_room,
    take_step,
)
from .tableaus import Switching
from .task import Rules, Task, closes, most_steps


class Outcome(NamedTuple):
    """What a solve comes to: where it stopped and how, what it cost, and the saved values.

    Attributes:
        f: the field at the last state, if that is evaluated (see `closes`).
        alone: which lanes were taken out and solved by themselves (see `lanes`).
        watch: of events, if there are any.
        dense: the steps, if the whole solution is to be a function of time.
    """

    t: Float[Array, "*lanes"]
    h: Float[Array, "*lanes"]
    y: Float[Array, "size *lanes"]
    f: Float[Array, "size *lanes"]
    status: Int[Array, "*lanes"]
    component: Int[Array, "*lanes"]
    counts: Counts
    saved: observe.Saved
    alone: Bool[Array, "*lanes"]
    watch: events.Watch | None = None
    dense: Dense | None = None


class State(NamedTuple):
    """What the loop carries.

    Attributes:
        row: how many rows of the record are taken.
        previous: error ratios of the two steps before.
        room: the buffers of the last step.
        mode: of a switching method: which one each lane is at.
    """

    at: Outcome
    previous: Float[Array, "2 *lanes"]
    row: Int[Array, ""]
    room: Step
    record: Record | None
    mode: Mode | None


def record_size(rules: Rules, task: Task) -> Size:
    """What a record of this solve holds."""
    rows = note_rows(rules.tableau, task.between)
    state = task.y0.size * task.y0.dtype.itemsize
    return size_for(most_steps(rules, task), rows, state, rules.record_bytes)


def first_steps(
    rules: Rules, field: Field, params: Params, task: Task
) -> tuple[Float[Array, "size *lanes"], Float[Array, "*lanes"]]:
    """The field at the start, and the size of the first step to try."""
    t = jnp.zeros_like(task.t1)
    f0 = field(t, task.y0, params)
    if task.grid is not None:
        return f0, task.grid.end(task.t1, jnp.zeros_like(t, jnp.int32))
    if task.dt0 is not None:
        return f0, task.dt0
    tolerance = Tolerance(task.rtol, task.atol, rules.measured)
    h = first_step(rules.tableau.order, field, params, (t, task.y0, f0), tolerance)
    return f0, jnp.maximum(h, _shortest(task, t))


def integrate(
    rules: Rules,
    field: Field,
    params: Params,
    task: Task,
    first: Any,
    record: Record | None = None,
    *,
    few: int = 0,
) -> State:
    """Step from the start to t1 (in every lane), or until it fails.

    If the rules say so it is a scan of as many attempts as there may be, and not a while loop.

    Args:
        first: what `first_steps` gave.
        record: room for a record of the steps, if there is to be one.
        few: so many lanes may be left running, if each has more steps to go than it has made.
    """
    state = _begin(rules, task, first, record)

    def running(state: State) -> Bool[Array, ""]:
        return _goes_on(task, state.at, few)

    def body(state: State) -> State:
        return _advance(rules, Bound(field, params), task, state)

    state = vary(state, varying_axes((params, task, first)))
    if not rules.unrolled:
        return jax.lax.while_loop(running, body, state)

    def attempt(state: State, _: None) -> tuple[State, None]:
        return jax.lax.cond(running(state), body, lambda state: state, state), None

    most = most_steps(rules, task)
    # What one step keeps is needed at once in any case; of several, only one's at a time.
    step = attempt if most == 1 else jax.checkpoint(attempt)
    return jax.lax.scan(step, state, length=most)[0]


def _goes_on(task: Task, at: Outcome, few: int) -> Bool[Array, ""]:
    """Whether lanes run that are too many, or too near their end, to be left."""
    running = at.status == Status.RUNNING
    if not few:
        return jnp.any(running)
    made = at.counts.accepted + at.counts.rejected
    # In one sum, as it is formed before every step: one lane past its half outweighs the few.
    past_half = task.t1 - at.t <= made * at.h
    return jnp.sum(running * jnp.where(past_half, few + 1, 1)) > few


def _begin(rules: Rules, task: Task, first: Any, record: Record | None) -> State:
    y0, t, (f0, h) = task.y0, jnp.zeros_like(task.t1), first
    bad = ~jnp.isfinite(f0) | ~jnp.isfinite(y0)
    timeless = ~jnp.all(jnp.isfinite(task.ts), axis=0)
    status = jnp.where(task.t1 > 0, Status.RUNNING, Status.SUCCESS)
    status = jnp.where(jnp.any(bad, axis=0) | timeless, Status.NON_FINITE, status).astype(jnp.int32)
    none = jnp.zeros_like(status)
    at = Outcome(
        t=t,
        h=jax.lax.stop_gradient(h),
        y=y0,
        f=f0,
        status=status,
        component=_first(bad),
        counts=Counts(none, none, none, none, none, none),
        saved=observe.begin(task.ts, y0),
        alone=jnp.zeros_like(status, bool),
        watch=events.begin(task.side),
        dense=dense_room(rules.tableau, y0, most_steps(rules, task)) if rules.dense else None,
    )
    return State(
        at=at,
        previous=jnp.ones((2, *t.shape), t.dtype),
        row=jnp.zeros((), jnp.int32),
        room=step_room(rules.tableau, y0, record is not None, task.between),
        record=record,
        mode=first_mode(rules.tableau, y0),
    )


class Verdict(NamedTuple):
    """What an attempt at a step has come to, in each lane.

    Attributes:
        running: whether it was made.
        found: whether there is an event in it, for which it is taken again.
        bad: whether it is not finite.
        left: whether it left the domain.
    """

    running: Bool[Array, "*lanes"]
    accepted: Bool[Array, "*lanes"]
    found: Bool[Array, "*lanes"]
    bad: Bool[Array, "*lanes"]
    left: Bool[Array, "*lanes"]
    watch: events.Watch | None


def _verdict(
    rules: Rules, bound: Bound, ts: Float[Array, "times *lanes"], at: Outcome, attempt: Any
) -> Verdict:
    """Whether a step stands that is accurate enough: not if it left the domain, or has an event."""
    (start, h, end, made), (running, accepted, components) = attempt
    bad, nowhere = jnp.any(components, axis=0), jnp.zeros_like(accepted)
    left, found, watch = nowhere, nowhere, at.watch
    if rules.domain:
        left = running & domain.outside(bound, start, (h, made), bad)
        saves, step = (ts, at.saved.passed), (h, end, made, accepted & ~left)
        left |= domain.saves_outside(rules.tableau, bound, saves, start, step)
        accepted &= ~left
    if watch is not None:
        how = rules.tableau, rules.events
        watch, found = events.look(how, bound, watch, (start, h, made), (running, accepted))
        accepted &= ~found
    return Verdict(running, accepted, found, bad, left, watch)


def _advance(rules: Rules, bound: Bound, task: Task, state: State) -> State:
    """One attempt at a step (in every running lane)."""
    at, method = state.at, rules.tableau
    running = at.status == Status.RUNNING
    # The step is what the clock advances by: after many steps in float32 these differ.
    end = _next_end(task, at)
    h = jnp.where(running, end - at.t, 0)
    wanted = running & observe.wants_output(task.ts, at.saved.passed, end)
    fill = running if rules.events or rules.dense else wanted
    stiff = None if state.mode is None else state.mode.stiff
    start = Start(at.t, at.y, at.f, stiff)
    now = True if rules.unrolled else jnp.any(fill)
    step = take_step(
        method, bound, start, h, (now, _closing(rules, task, running, end)), state.room
    )
    slope = last_slope(method, step)
    accepted, ratio, bad = _judge(rules, task, at, (step, slope), h)
    attempt = (start, h, end, step), (running, accepted & running, bad)
    verdict = _verdict(rules, bound, task.ts, at, attempt)
    accepted = verdict.accepted
    record = state.record
    late = state.row >= record_size(rules, task).noted
    if record is not None and step.notes is not None:
        record = record.write(state.row, start, end, step.notes, accepted)
    save = observe.save_at_once if rules.unrolled else observe.save
    saved = save(method, task.ts, at.saved, start, (h, end, step, accepted))
    counts = at.counts.after((running, accepted, fill, wanted), late, stiff)
    following = at._replace(
        t=jnp.where(accepted, end, at.t),
        y=jnp.where(accepted, step.y, at.y),
        f=jnp.where(accepted, slope, at.f),
        component=jnp.where(running & jnp.any(bad, axis=0), _first(bad), at.component),
        counts=counts,
        saved=saved,
        watch=verdict.watch,
        dense=at.dense and at.dense.write(state.row, start, (end, step, accepted)),
    )
    h_next = _next_size(rules, task, following, (h, ratio, verdict), state.previous)
    status = _next_status(rules, task, following, (h, verdict))
    history = jnp.stack([ratio, state.previous[0]])
    mode = state.mode
    if mode is not None:
        point, attempt = (following.t, following.y), (h, accepted)
        mode = mode.after(cast(Switching, method), bound, point, attempt)
    _tell(rules, task, (at.t, following.t), h, counts)
    return State(
        at=following._replace(h=h_next, status=status),
        previous=jnp.where(accepted, history, state.previous),
        row=state.row + jnp.any(accepted),
        room=step,
        record=record,
        mode=mode,
    )


def _closing(rules: Rules, task: Task, running: Array, end: Array) -> Bool[Array, ""] | bool:
    """Whether the field at the end of a step is of use."""
    return closes(rules, task) or jnp.any(running & (end < task.t1))


def _tell(rules: Rules, task: Task, times: Any, h: Float[Array, "*lanes"], counts: Counts) -> None:
    """Report how far the solve is, if there is a meter."""
    if rules.meter is not None:
        span, (before, after) = jnp.where(task.t1 > 0, task.t1, 1), times
        attempts = counts.accepted + counts.rejected
        report(rules.meter, before / span, after / span, after, h, attempts)


def _next_end(task: Task, at: Outcome) -> Float[Array, "*lanes"]:
    """When the next step ends: after its size, on the grid, in an event, or at the end of all."""
    landing = None if at.watch is None else at.watch.landing
    size = at.h if landing is None else jnp.where(landing > 0, landing, at.h)
    if task.grid is None:
        last = size >= (task.t1 - at.t) * (1 - 1e-6)
        return jnp.where(last, task.t1, at.t + size)
    end = task.grid.end(task.t1, at.counts.accepted)
    return end if landing is None else jnp.where(size < at.h, at.t + size, end)


def _shortest(task: Task, t: Float[Array, "*lanes"]) -> Float[Array, "*lanes"]:
    """The shortest step worth a try: two spacings of the numbers around t."""
    scale = jnp.maximum(t, task.t1 * 1e-6)
    return jax.lax.stop_gradient(2 * jnp.finfo(t.dtype).eps * scale)


def _first(bad: Bool[Array, "size *lanes"]) -> Int[Array, "*lanes"]:
    """The index of the first component at fault (0 if there is none)."""
    return (
        jnp.argmax(bad, axis=0).astype(jnp.int32)
        if bad.shape[0]
        else jnp.zeros(bad.shape[1:], jnp.int32)
    )


def _judge(
    rules: Rules,
    task: Task,
    at: Outcome,
    made: tuple[Step, Float[Array, "size *lanes"]],
    h: Float[Array, "*lanes"],
):
    """Whether the step may stand, its error ratio, and which components went non-finite."""
    step, slope = made
    bad = jax.lax.stop_gradient(~jnp.isfinite(step.y) | ~jnp.isfinite(slope))
    finite = ~jnp.any(bad, axis=0)
    if task.grid is not None:
        return finite, jnp.zeros_like(h), bad
    tolerance = Tolerance(task.rtol, task.atol, rules.measured)
    ratio = tolerance.ratio(error_estimates(rules.tableau, step, h), at.y, step.y)
    ratio = jax.lax.stop_gradient(jnp.where(finite, ratio, jnp.nan))
    return finite & (ratio <= 1), ratio, bad


def _next_size(
    rules: Rules, task: Task, following: Outcome, attempt, previous: Float[Array, "2 *lanes"]
) -> Float[Array, "*lanes"]:
    """The next step size: from the grid, or from the controller."""
    h, ratio, verdict = attempt
    if task.grid is not None:
        return task.grid.end(task.t1, following.counts.accepted) - following.t
    factor = rules.controller.factor(rules.tableau.estimate_order, ratio, previous)
    following_h = jnp.maximum(h * factor, _shortest(task, following.t))
    if rules.open_end:
        # A step that was cut short and is good says nothing against the size that was meant.
        meant = (ratio <= 1) & (2 * h < following.h)
        following_h = jnp.where(meant, jnp.maximum(following_h, following.h), following_h)
    if rules.domain:
        halved = jnp.maximum(h / 2, _shortest(task, following.t))
        following_h = jnp.where(verdict.left, halved, following_h)
    tried = verdict.running & ~verdict.found
    return jax.lax.stop_gradient(jnp.where(tried, following_h, following.h))


def _next_status(rules: Rules, task: Task, following: Outcome, attempt) -> Int[Array, "*lanes"]:
    """Whether a lane goes on, is done, or has failed, and why."""
    h, (running, accepted, found, bad, left, _) = attempt
    # Rounding may have left the shortest step half a spacing longer.
    shortest = h <= 1.5 * _shortest(task, following.t)
    stuck = ~accepted & ~found & (shortest | (task.grid is not None))
    attempts = following.counts.accepted + following.counts.rejected
    status = jnp.where(attempts >= rules.max_steps, Status.MAX_STEPS, Status.RUNNING)
    why = jnp.where(bad, Status.NON_FINITE, Status.STEP_UNDERFLOW)
    status = jnp.where(stuck, jnp.where(left, Status.LEFT_DOMAIN, why), status)
    status = jnp.where(accepted & (following.t >= task.t1), Status.SUCCESS, status)
    if following.watch is not None:
        status = jnp.where(accepted & (following.watch.landing > 0), Status.EVENT, status)
    return jnp.where(running, status, following.status).astype(jnp.int32)
