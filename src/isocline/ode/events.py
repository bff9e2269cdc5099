"""Events: where a function of time and state changes its sign, a solve stops, or jumps and goes on.

The loop only finds an event. It looks at the signs in every accepted step; where one has changed it
bisects the step's continuous extension, rejects the step, and takes a shorter one that ends there:
so the record of steps that an adjoint walks back holds steps as any other. The time of the event
moves with the parameters by the implicit function theorem (`refined`): one Newton step that hardly
changes the values, with a gradient that is exact (Chen, Amos & Nickel 2021, sec. 3.1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ..errors import InputError
from .complex_state import Pairs, Seen, real_parts
from .field import Bound, like, three_arguments
from .step import Start, Step
from .stepping import between, output_weights
from .tableaus import Method

CONDITIONS, JUMPS = "conditions", "jumps"  # the names of these functions beside the field
LOOKS = 4  # in how many places of a step signs are looked at, its end included


class Event(eqx.Module):
    """A change of sign of `condition(t, y, args)`, a number, along a solution.

    A condition that is zero at the start counts from where the solution goes. Two changes of sign
    within a quarter of one step can go unseen.

    Attributes:
        condition: `condition(t, y, args)` or `condition(t, y)`.
        reset: `reset(t, y, args)` or `reset(t, y)`, the state with which the solve goes on.
        direction: +1 for rising through zero only, -1 for falling, 0 for both.
        terminal: whether the solve ends there; or at the how-many-th time, an integer. If not
            given, it ends unless there is a reset.
    """

    condition: Callable[..., Any]
    reset: Callable[..., Any] | None = eqx.field(default=None, kw_only=True)
    direction: int = eqx.field(default=0, kw_only=True, static=True)
    terminal: bool | int | None = eqx.field(default=None, kw_only=True, static=True)

    def __check_init__(self) -> None:
        if self.direction not in (-1, 0, 1):
            raise InputError(f"direction={self.direction!r} of an event must be -1, 0 or +1.")
        good = self.terminal is None or (isinstance(self.terminal, int) and self.terminal >= 0)
        if not good:
            raise InputError(f"terminal={self.terminal!r} must be True, False or a count.")
        if not callable(self.condition) or not (self.reset is None or callable(self.reset)):
            raise InputError("condition and reset of an event must be functions of (t, y, args).")

    @property
    def ends_at(self) -> int:
        """At its how-many-th time it ends the solve; 0: never."""
        return int(self.reset is None if self.terminal is None else self.terminal)


class Events(eqx.Module):
    """The events of a trajectory, in the order in which they happened.

    Attributes:
        ts: when; NaN where there were no more.
        elapsed: how long after t0 that was (before, if negative): far from t=0 single precision
            knows it still where it has to round `ts`.
        ys: the states there, before any reset: the structure of y0, events first (after the batch).
        which: the index of the event in `events=`, -1 where there were no more.
        count: how many there were.
    """

    ts: Float[Array, "*batch events"]
    elapsed: Float[Array, "*batch events"]
    ys: PyTree[Array]
    which: Int[Array, "*batch events"]
    count: Int[Array, "*batch"]


class Watch(NamedTuple):
    """What the loop carries for events.

    Attributes:
        side: the sign of each condition where it was last seen (0: not known yet).
        landing: the size of the step that is to end in an event; 0 if there is none.
        event: which one that is, or -1.
    """

    side: Float[Array, "events *lanes"]
    landing: Float[Array, "*lanes"]
    event: Int[Array, "*lanes"]


def read_events(events: Any, pairs: Pairs | None = None) -> tuple[Event, ...]:
    """The events as a tuple, with functions of `(t, y, args)`; of real states, if they have pairs.

    Raises:
        InputError: one of them is no `Event`.
    """
    if events is None:
        return ()
    found = tuple(events) if isinstance(events, Sequence) else (events,)
    for event in found:
        if not isinstance(event, Event):
            raise InputError(f"events={event!r} must be an Event, or a list of them.")

    def read(event: Event) -> Event:
        condition, reset = three_arguments(event.condition), event.reset
        reset = None if reset is None else three_arguments(reset)
        if pairs is not None:
            condition = Seen(condition, pairs)
            reset = None if reset is None else real_parts(reset, pairs)
        return replace(event, condition=condition, reset=reset)

    return tuple(map(read, found))


class Jumps(eqx.Module):
    """The states after all events, as one function of time, state and args: one row an event.

    Attributes:
        ravel: from the user's structure to a row.
    """

    functions: tuple[Callable | None, ...]
    ravel: Callable[[Any], Array] = eqx.field(static=True)

    def __init__(self, events: Sequence[Event], ravel: Callable[[Any], Array]):
        resets = [event.reset for event in events]
        self.functions = tuple(
            None if reset is None else three_arguments(reset) for reset in resets
        )
        self.ravel = ravel

    def __call__(self, t: Any, y: Any, args: Any) -> Float[Array, "events size"]:
        """Where there is no reset it is the state itself."""
        after = [
            y if reset is None else like(y, reset(t, y, args), "reset") for reset in self.functions
        ]
        return jnp.stack([self.ravel(state) for state in after])


class Conditions(eqx.Module):
    """The values of all conditions, as one function of time, state and args."""

    functions: tuple[Callable, ...]

    def __init__(self, events: Sequence[Event]):
        self.functions = tuple(event.condition for event in events)

    def __call__(self, t: Any, y: Any, args: Any) -> Float[Array, " events"]:
        """A row of numbers."""
        values = [jnp.asarray(function(t, y, args)) for function in self.functions]
        for index, value in enumerate(values):
            if value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
                raise InputError(
                    f"the condition of event {index} must return one real number whose sign "
                    f"changes; it returned shape {value.shape} of {value.dtype}."
                )
        return jnp.stack([value.astype(jnp.result_type(t)) for value in values])


def begin(side: Float[Array, "events *lanes"] | None) -> Watch | None:
    """Nothing seen yet but the signs at the start."""
    if side is None:
        return None
    lanes = side.shape[1:]
    return Watch(side, jnp.zeros(lanes, side.dtype), jnp.full(lanes, -1, jnp.int32))


def look(
    how: tuple[Method, tuple[int, ...]],
    bound: Bound,
    watch: Watch,
    step: tuple[Start, Float[Array, "*lanes"], Step],
    tried: tuple[Bool[Array, "*lanes"], Bool[Array, "*lanes"]],
) -> tuple[Watch, Bool[Array, "*lanes"]]:
    """After an attempt at a step: is there an event in it, for which to take it again, shorter?

    Args:
        how: the method, and the directions of the events.
        step: where it began, its size, and what it computed.
        tried: which lanes tried it, and in which it stands, as far as its error goes.
    """
    running, accepted = tried
    method, directions = how
    params, watch, step = jax.lax.stop_gradient((bound.params, watch, step))
    start, h, taken = step
    column = jnp.asarray(directions, h.dtype).reshape((-1,) + (1,) * h.ndim)

    def values(theta: Float[Array, "*lanes"]) -> Float[Array, "events *lanes"]:
        y = start.y + h * between(output_weights(method, theta)[0], taken.slopes)
        return bound.field.ask(CONDITIONS, start.t + theta * h, y, params)

    def changed(side: Array, now: Float[Array, "events *lanes"]) -> Bool[Array, "events *lanes"]:
        return (side * now <= 0) & (side != 0) & ((column == 0) | (column == -side))

    side, low, high = watch.side, jnp.zeros_like(h), jnp.ones_like(h)
    looking = accepted & (watch.landing == 0)
    found = jnp.zeros_like(looking)
    thetas = jnp.arange(1, LOOKS + 1, dtype=h.dtype) / LOOKS
    seen = jax.vmap(lambda theta: values(jnp.full_like(h, theta)))(thetas)
    for theta, now in zip(thetas, seen, strict=True):
        here = looking & ~found & jnp.any(changed(side, now), axis=0)
        low, high = jnp.where(here, theta - 1 / LOOKS, low), jnp.where(here, theta, high)
        found |= here
        known = ~found & (now != 0) & ~jnp.isnan(now)
        side = jnp.where(known, jnp.sign(now), side)
    low, high = _bisected(
        lambda theta: jnp.any(changed(side, values(theta)), axis=0), low, high, found
    )
    event = jnp.argmax(changed(side, values(high)), axis=0).astype(jnp.int32)
    landing = jnp.where(found, jnp.maximum(high * h, 4 * jnp.finfo(h.dtype).eps * start.t), 0)
    # A lane that has landed, or waits for others, stays as it is.
    keeps = ~running | (accepted & (watch.landing > 0))
    return Watch(
        side=jnp.where(looking, side, watch.side),
        landing=jnp.where(keeps, watch.landing, landing),
        event=jnp.where(keeps, watch.event, jnp.where(found, event, -1)),
    ), found


def _bisected(
    past: Callable[[Array], Array], low: Array, high: Array, wanted: Bool[Array, "*lanes"]
) -> tuple[Float[Array, "*lanes"], Float[Array, "*lanes"]]:
    """The interval around the first event, to half the digits: the Newton step doubles them."""
    digits = jnp.finfo(low.dtype).nmant // 2 + 2

    def halve(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        count, low, high = state
        middle = (low + high) / 2
        gone = past(middle)
        return count + 1, jnp.where(gone, low, middle), jnp.where(gone, middle, high)

    def going(state: tuple[Array, Array, Array]) -> Bool[Array, ""]:
        return (state[0] < digits) & jnp.any(wanted)

    return jax.lax.while_loop(going, halve, (jnp.zeros((), jnp.int32), low, high))[1:]


def sides(
    bound: Bound, start: Start, fired: tuple[Bool[Array, "events *lanes"], Array] | None = None
) -> Float[Array, "events *lanes"]:
    """The sign of each condition at a start; where the solution goes, if it is zero there.

    Args:
        fired: which events have just happened, and the size of the next step: what they would be
            next to no time away from is zero but for rounding.
    """
    params, start = jax.lax.stop_gradient((bound.params, start))
    value, rate = _rates(Bound(bound.field, params), start)
    zero = value == 0
    if fired is not None:
        (mine, h), precision = fired, jnp.finfo(value.dtype).eps ** 0.5
        zero |= mine & (jnp.abs(value) <= precision * h * jnp.abs(rate))
    return jnp.sign(jnp.where(zero, rate, value))


def _rates(bound: Bound, at: Start) -> tuple[Float[Array, "events *lanes"], Any]:
    """All conditions, and how fast they change along the solution."""
    ask = functools.partial(bound.field.ask, CONDITIONS, params=bound.params)
    return jax.jvp(ask, (at.t, at.y), (jnp.ones_like(at.t), at.f))


def refined(
    bound: Bound, at: Start, event: Int[Array, "*lanes"]
) -> tuple[Float[Array, "*lanes"], Float[Array, "size *lanes"]]:
    """Time and state of an event, from a point next to it on the solution, with their gradients.

    Where there is no event (-1) they are those of the point.
    """
    t, f = at.t, jax.lax.stop_gradient(at.f)
    value, rate = _rates(bound, Start(t, at.y, f))
    mine = jnp.arange(value.shape[0]).reshape((-1,) + (1,) * event.ndim) == event
    crossing = mine & (rate != 0)
    late = jnp.where(crossing, _overshot(value, jnp.where(crossing, rate, 1), at.y), 0)
    late = jnp.sum(late, axis=0)
    return t - late, at.y - f * late


@jax.custom_jvp
def _overshot(value: Array, rate: Array, _: Array) -> Array:
    """How long ago a condition was zero; the rate, which depends on the state, is held fixed."""
    return value / rate


@_overshot.defjvp
def _(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    value, rate, y = primals
    return _overshot(value, rate, y), tangents[0] / _once(rate, y)


@jax.custom_jvp
def _once(rate: Array, _: Array) -> Array:
    """The rate. Who differentiates it, or the state, wants a second derivative, wrong here."""
    return rate


@_once.defjvp
def _(_: Any, __: Any) -> Any:
    raise InputError(
        "times of events have first derivatives only: there is no Hessian through events=."
    )
