"""Solves in parts: from one discontinuity to the next.

At a breakpoint the field jumps; at an event the state may. Each part is a solve of its own that
ends there, so no step reaches across, and its record is forgotten before the next one begins
(`jax.checkpoint`). How the times of events move what comes after them (the saltation matrix) needs
no formula: the next part begins at a time that has a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import observe
from .clock import Clock, Stretch
from .costs import costs
from .counts import Counts
from .dense import Dense, Joined, Pieces, dense_room, join_room, pieces_of
from .events import JUMPS, Event, Watch, refined, sides
from .field import Bound
from .loop import Outcome, first_steps
from .sharding import vary
from .solution import Stats
from .status import Status
from .step import Start
from .task import Rules, Task, most_steps
from .vmapped import any_of_all

MOST = 32  # events of a trajectory, where nothing else is said


class Plan(NamedTuple):
    """How a solve is divided.

    Attributes:
        parts: how many there are at most.
        capacity: how many events are kept.
        ends_at: for each event at its how-many-th time it ends the solve (0: never).
        resets: for each event whether it has a reset.
        axes: mesh axes along which anything varies.
    """

    parts: int
    capacity: int
    ends_at: tuple[int, ...]
    resets: tuple[bool, ...]
    axes: frozenset[str]


class Breaks(NamedTuple):
    """Breakpoints in the order in which they are met, from -infinity to infinity.

    Attributes:
        elapsed: as time since the start.
        times: as the user's times.
        passed: as times on the clock of a path, if there is one.
    """

    elapsed: Float[Array, "breaks *lanes"]
    times: Float[Array, "breaks *lanes"]
    passed: Float[Array, "breaks *lanes"] | None

    def around(self, index: Int[Array, "*lanes"], since: Float[Array, "*lanes"]) -> Any:
        """The end of the part after this breakpoint, and what times the field may see in it."""
        passed = None if self.passed is None else _inside(self.passed, index)
        stretch = Stretch(since, _inside(self.times, index), passed)
        return observe.entry(self.elapsed, index + 1), stretch


class Ended(NamedTuple):
    """Where the last part ended.

    Attributes:
        t: time since the start of all.
        behind: the index of the last breakpoint before it.
        times: how often each event has happened.
        saved: how many save times have passed.
    """

    t: Float[Array, "*lanes"]
    h: Float[Array, "*lanes"]
    y: Float[Array, "size *lanes"]
    f: Float[Array, "size *lanes"]
    side: Float[Array, "events *lanes"] | None
    behind: Int[Array, "*lanes"]
    times: Int[Array, "events *lanes"]
    status: Int[Array, "*lanes"]
    component: Int[Array, "*lanes"]
    stats: Stats
    saved: Int[Array, "*lanes"]


class Found(NamedTuple):
    """An event in each lane at the end of a part: which one (-1: none), when, and the state."""

    event: Int[Array, "*lanes"]
    t: Float[Array, "*lanes"]
    y: Float[Array, "size *lanes"]


def plan_for(
    events: Sequence[Event], max_events: int | None, breaks: int, axes: frozenset[str]
) -> Plan:
    """Room for all events where their number is known, else for `max_events` of them."""
    ends_at = tuple(event.ends_at for event in events)
    needed = sum(ends_at) - len(events) + 1 if events and all(ends_at) else None
    if not events:
        needed = 0
    capacity = needed if max_events is None else max_events
    capacity = MOST if capacity is None else capacity
    capacity = capacity if needed is None else min(capacity, needed)
    parts = breaks + capacity + (capacity != needed or not events)
    resets = tuple(event.reset is not None for event in events)
    return Plan(parts, capacity, ends_at, resets, axes)


def breaks_of(
    points: Float[Array, " breaks"],
    elapsed: Float[Array, "breaks *lanes"],
    passed: Float[Array, " breaks"] | None,
    clock: Clock,
) -> Breaks:
    """Breakpoints in the order of time, and one at infinity at either end."""
    order = jnp.argsort(jax.lax.stop_gradient(elapsed), axis=0)
    far = jnp.full((1, *elapsed.shape[1:]), jnp.inf, elapsed.dtype)
    off = clock.directed(far)

    def sorted_between(values: Array, far: Array) -> Array:
        values = values.reshape((-1,) + (1,) * (elapsed.ndim - values.ndim) + values.shape[1:])
        values = jnp.take_along_axis(jnp.broadcast_to(values, elapsed.shape), order, axis=0)
        return jnp.concatenate([-far, values, far])

    return Breaks(
        sorted_between(elapsed, far),
        sorted_between(points, off),
        None if passed is None else sorted_between(passed, off),
    )


def _inside(
    times: Float[Array, "breaks *lanes"], index: Int[Array, "*lanes"]
) -> tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]:
    """The first and the last time between this breakpoint and the next."""
    times = jax.lax.stop_gradient(times)
    ends = observe.entry(times, index), observe.entry(times, index + 1)
    return _beside(jnp.minimum(*ends), jnp.inf), _beside(jnp.maximum(*ends), -jnp.inf)


def _beside(time: Float[Array, "*lanes"], towards: float) -> Float[Array, "*lanes"]:
    """The number next to it; denormal ones do not count."""
    tiny = jnp.asarray(jnp.finfo(time.dtype).tiny, time.dtype)
    beside = jnp.nextafter(time, jnp.asarray(towards, time.dtype))
    return jnp.where(jnp.abs(time) < tiny, jnp.sign(towards) * tiny, beside)


def solve_in_parts(
    plan: Plan,
    how: tuple[Rules, Callable],
    build: Callable[[Clock], Any],
    problem: tuple[Task, Clock],
    breaks: Breaks,
) -> tuple[Outcome, Stats, Found, Pieces | None]:
    """Solve from one breakpoint or event to the next.

    Args:
        plan: how many parts.
        how: the rules, and the adjoint.
        build: gives the field and its parameters for a clock.
        problem: the task as a whole, and its clock.
        breaks: the breakpoints.

    Returns:
        Where it ended, what it cost, the events, `(parts, *lanes)`, and the steps of all parts
        (lanes first), if the solution is to be a function of time.
    """
    (rules, adjoint), (task, clock) = how, problem
    start = vary(_begin(plan, rules, build, problem, breaks), plan.axes)

    def going(ended: Ended) -> tuple[Ended, Found, Array, Dense | None]:
        return _part(plan, (rules, adjoint), build, (task, clock, breaks), ended)

    def idle(ended: Ended) -> tuple[Ended, Found, Array, Dense | None]:
        nothing = Found(jnp.full_like(ended.status, -1), ended.t, ended.y)
        values = jnp.zeros((task.ts.shape[0], *task.y0.shape), task.y0.dtype)
        dense = dense_room(rules.tableau, task.y0, most) if rules.dense else None
        return ended, *vary((nothing, values, dense), plan.axes)

    @jax.checkpoint
    def part(ended: Ended) -> tuple[Ended, Found, Array, Dense | None]:
        if plan.axes:  # devices must not part ways where gradients are summed
            return going(ended)
        return jax.lax.cond(any_of_all(ended.status == Status.RUNNING), going, idle, ended)

    def join(joined: Joined | None, began: Ended, ended: Ended, dense: Any) -> Joined | None:
        if joined is None:
            return None
        return joined.after(pieces_of(dense, began.t), ended.t, rules.unrolled)

    most = most_steps(rules, task)
    # A part that begins before the limit of steps has that many again.
    room = most if plan.parts == 1 else 2 * most
    joined = vary(join_room(rules.tableau, task.y0, room), plan.axes) if rules.dense else None
    if plan.parts == 1:
        end, found, ys, dense = going(start)
        joined = join(joined, start, end, dense)
        found = jax.tree.map(lambda leaf: leaf[None], found)
        return _together(end, ys), end.stats, found, joined and joined.pieces

    def body(carry: tuple[Ended, Array, Joined | None], _: None):
        ended, ys, joined = carry
        following, found, values, dense = part(ended)
        index = jnp.arange(ys.shape[0]).reshape((-1,) + (1,) * ended.saved.ndim)
        new = (index >= ended.saved) & (index < following.saved)
        ys = jnp.where(new[:, None], values, ys)
        return (following, ys, join(joined, ended, following, dense)), found

    ys = jnp.full((task.ts.shape[0], *task.y0.shape), jnp.nan, task.y0.dtype)
    carry = start, vary(ys, plan.axes), joined
    (end, ys, joined), found = jax.lax.scan(body, carry, None, length=plan.parts)
    return _together(end, ys), end.stats, found, joined and joined.pieces


def _together(end: Ended, ys: Float[Array, "times size *lanes"]) -> Outcome:
    """The outcome of all parts."""
    none = jnp.zeros_like(end.status)
    counts, saved = Counts(*6 * (none,)), observe.Saved(ys, end.saved)
    alone = none.astype(bool)
    return Outcome(end.t, end.h, end.y, end.f, end.status, end.component, counts, saved, alone)


def _begin(
    plan: Plan, rules: Rules, build: Callable, problem: tuple[Task, Clock], breaks: Breaks
) -> Ended:
    task, clock = problem
    t, none = jnp.zeros_like(task.t1), jnp.zeros(task.t1.shape, jnp.int32)
    behind = jnp.sum(breaks.elapsed <= 0, axis=0, dtype=jnp.int32) - 1
    _, stretch = breaks.around(behind, t)
    field, params = build(clock._replace(stretch=stretch))
    f, h = first_steps(rules, field, params, task)
    side = sides(Bound(field, params), Start(t, task.y0, f)) if rules.events else None
    calls = none + 1 + (task.grid is None and task.dt0 is None)
    return Ended(
        t=t,
        h=jax.lax.stop_gradient(h),
        y=task.y0,
        f=f,
        side=side,
        behind=behind,
        times=jnp.zeros((len(plan.ends_at), *t.shape), jnp.int32),
        status=none,
        component=none,
        stats=Stats(calls, none, none, none, none),
        saved=none,
    )


def _part(
    plan: Plan, how: tuple[Rules, Callable], build: Callable, problem: Any, ended: Ended
) -> tuple[Ended, Found, Float[Array, "times size *lanes"], Dense | None]:
    """One part of every lane that still goes on."""
    (rules, adjoint), (task, clock, breaks) = how, problem
    alive = ended.status == Status.RUNNING
    stop, stretch = breaks.around(ended.behind, ended.t)
    stop = jnp.minimum(stop, task.t1)
    field, params = build(clock._replace(stretch=stretch))
    part = task._replace(
        y0=ended.y,
        t1=jnp.where(alive, stop - ended.t, 0),
        ts=task.ts - ended.t,
        dt0=None if task.grid is not None else ended.h,
        side=ended.side,
    )
    outcome: Outcome = adjoint(rules, field, params, part)
    arrived = outcome.status == Status.SUCCESS
    status = jnp.where(arrived & (stop < task.t1), Status.RUNNING, outcome.status)
    spent = costs(rules, part, outcome.counts, outcome.alone)
    stats = jax.tree.map(jnp.add, ended.stats, spent)
    following = Ended(
        t=jnp.where(arrived, stop, ended.t + outcome.t),
        h=outcome.h,
        y=outcome.y,
        f=outcome.f,
        side=ended.side,
        behind=ended.behind + arrived,
        times=ended.times,
        status=status,
        component=outcome.component,
        stats=stats,
        saved=jnp.maximum(ended.saved, outcome.saved.passed),
    )
    found = Found(jnp.full_like(status, -1), following.t, following.y)
    if outcome.watch is not None:
        following, found = _after_event(plan, Bound(field, params), outcome, alive, following)
    gone = following.stats.accepted + following.stats.rejected >= rules.max_steps
    gone &= following.status == Status.RUNNING
    status = jnp.where(gone, Status.MAX_STEPS, following.status).astype(jnp.int32)
    following = jax.tree.map(
        lambda new, old: jnp.where(alive, new, old), following._replace(status=status), ended
    )
    return following, found, outcome.saved.ys, outcome.dense


def _after_event(
    plan: Plan, bound: Bound, outcome: Outcome, alive: Bool[Array, "*lanes"], ended: Ended
) -> tuple[Ended, Found]:
    """Where a part ended in an event: when exactly, and how to go on."""
    watch = cast(Watch, outcome.watch)
    event = jnp.where(alive & (outcome.status == Status.EVENT), watch.event, -1)
    happened, mine = event >= 0, _one_of(len(plan.ends_at), event)
    t, y = refined(bound, Start(outcome.t, outcome.y, outcome.f), event)
    column = (-1,) + (1,) * event.ndim
    times, ends_at = ended.times + mine, jnp.asarray(plan.ends_at).reshape(column)
    over = jnp.any(mine & (ends_at > 0) & (times >= ends_at), axis=0)
    full = jnp.sum(times, axis=0) > plan.capacity
    status = jnp.where(full, Status.EVENT_LIMIT, jnp.where(over, Status.EVENT, Status.RUNNING))
    began = ended.t - outcome.t
    found = Found(event, jnp.where(happened, began + t, ended.t), jnp.where(happened, y, ended.y))
    following = ended._replace(
        t=found.t,
        y=found.y,
        side=watch.side,
        times=times,
        status=jnp.where(happened, status, ended.status),
    )
    if plan.parts == 1:
        return following, found
    jumps = mine & jnp.asarray(plan.resets).reshape(column) & ~over
    if any(plan.resets):
        states = bound.field.ask(JUMPS, t, y, bound.params)
        state = jnp.sum(jnp.where(jumps[:, None], states, 0), axis=0)
        following = following._replace(y=jnp.where(jnp.any(jumps, axis=0), state, found.y))
        following = following._replace(f=bound(t, following.y))
        nfe = following.stats.nfe + 1
        following = following._replace(stats=eqx.tree_at(lambda s: s.nfe, following.stats, nfe))
    side = sides(bound, Start(t, following.y, following.f), (mine, following.h))
    anew = mine | jnp.any(jumps, axis=0)
    return following._replace(side=jnp.where(anew, side, watch.side)), found


def _one_of(count: int, index: Int[Array, "*lanes"]) -> Bool[Array, "events *lanes"]:
    """Which row this index names."""
    return jnp.arange(count).reshape((-1,) + (1,) * index.ndim) == index


def in_order(found: Found, capacity: int) -> tuple[Found, Int[Array, "*lanes"]]:
    """The events of all parts, `(events, ...)`, without parts that ended otherwise; how many."""
    none = found.event < 0
    order = jnp.argsort(none, axis=0, stable=True)[:capacity]
    event = jnp.take_along_axis(found.event, order, axis=0)
    t = jnp.where(event < 0, jnp.nan, jnp.take_along_axis(found.t, order, axis=0))
    y = jnp.take_along_axis(found.y, order[:, None], axis=0)
    y = jnp.where((event < 0)[:, None], jnp.nan, y)
    return Found(event, t, y), jnp.sum(~none, axis=0, dtype=jnp.int32)
