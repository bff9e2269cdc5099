"""A meter for long solves, inside compiled programs, that costs nothing where it is not asked for.

The loop calls `report` after each step if there is a meter; whether there is one is known before
anything is traced. The device decides whether there is something to say: the host is called once
for every percent of the time span (`Meter.every`), not at every step.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..errors import InputError


class Progress(NamedTuple):
    """How far a solve is; what a callable of the user's gets.

    Attributes:
        fraction: of the time span, 0 to 1; the mean over trajectories. With breakpoints and events
            each part of a solve begins again.
        t: how long after the start of the solve, or of the part, it is (the trajectory that is
            least far).
        h: the size of the step that was just tried there.
        steps: attempts so far, accepted and rejected, the most of any trajectory.
        seconds: since the first report of this solve.
        remaining: seconds that are left, if it goes on at this pace; None where nothing is known.
    """

    fraction: float
    t: float
    h: float
    steps: int
    seconds: float
    remaining: float | None


class Bar:
    """Writes one line of text over itself; where that can not be (a file), a line each time."""

    def __init__(self, stream: TextIO | None = None, width: int = 24):
        self._stream, self._width = stream, width

    def __call__(self, progress: Progress) -> None:
        stream = self._stream or sys.stderr
        done = progress.fraction >= 1
        full = round(progress.fraction * self._width)
        left = "" if done or progress.remaining is None else f", {clock(progress.remaining)} left"
        line = (
            f"[{'#' * full}{'.' * (self._width - full)}] {100 * progress.fraction:3.0f}%  "
            f"t={progress.t:.6g}  step {progress.h:.2g}  {progress.steps} steps  "
            f"{clock(progress.seconds)}{left}"
        )
        inplace = stream.isatty()
        stream.write(f"\r\x1b[K{line}" if inplace else f"{line}\n")
        stream.write("\n" if inplace and done else "")
        stream.flush()


def clock(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60} min"


class _Clock:
    """When the solve that is under way began; every report from its start begins a new one."""

    def __init__(self) -> None:
        self.started, self.begun = time.perf_counter(), 0.0


@dataclass(frozen=True, eq=False)
class Meter:
    """Who is told of the progress, and how often; static in a compiled program.

    A meter is its own kind of key: two solves with the same meter share one compiled program.

    Attributes:
        tell: gets a `Progress`.
        every: the share of the time span after which it is told again.
        most_steps: it is told after so many steps as well, where the time hardly moves.
    """

    tell: Callable[[Progress], Any]
    every: float = 0.01
    most_steps: int = 10_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "_clock", _Clock())

    def told(self, crossed: Any, first: Any, steps: Any, at: tuple[Any, Any, Any]) -> None:
        """On the host: one report of all trajectories, of the mean and of the least far.

        Under `vmap` the device calls at every step, because a branch is taken both ways there; then
        `crossed` says whether it would have called.
        """
        # By NumPy from here on: what JAX computes waits for a free thread, and on one core the only
        # one waits for this call to end (so do arrays of 100 kB, which `report` does not send).
        crossed, first, steps, at = jax.tree.map(np.asarray, (crossed, first, steps, at))
        if not crossed:
            return
        fraction, t, h = at
        now, held = time.perf_counter(), self._clock  # pyright: ignore[reportAttributeAccessIssue]
        share = float(fraction)
        if first:
            # The first step, and all that was compiled before it, is no measure of the pace.
            held.started, held.begun = now, share
        gone, done = now - held.started, share - held.begun
        remaining = gone / done * (1 - share) if done > 0 and gone > 0 else None
        self.tell(
            Progress(
                fraction=share,
                t=float(t),
                h=float(h),
                steps=int(steps),
                seconds=gone,
                remaining=remaining,
            )
        )


_BAR = Meter(Bar())
_meter_of = functools.lru_cache(maxsize=32)(Meter)


def read_meter(progress: bool | Callable[[Progress], Any] | Meter | None) -> Meter | None:
    """The meter of an option `progress=`: True is a bar, a callable gets a `Progress`.

    The same callable has the same meter, so that a compiled solve is found again.

    Raises:
        InputError: it is neither.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        return _BAR
    if isinstance(progress, Meter):
        return progress
    if not callable(progress):
        raise InputError(
            f"progress={progress!r} must be True, or a function that takes what "
            "isocline.ode.Progress holds."
        )
    try:
        return _meter_of(progress)
    except TypeError:  # it can not be hashed: compiled anew each time
        return Meter(progress)


def report(
    meter: Meter | None,
    before: Float[Array, " lanes"],
    after: Float[Array, " lanes"],
    t: Float[Array, " lanes"],
    h: Float[Array, " lanes"],
    steps: Int[Array, " lanes"],
) -> None:
    """Tell the meter of one step, if that took it across a percent of the span.

    To be called in the body of a loop. Without a meter nothing is traced. What it is given is not
    differentiated: a backward pass that does not run the loop says nothing.

    Args:
        meter: static.
        before, after: the fraction of the span that was done before the step, and is done now (the
            same where the step was rejected, or a trajectory is at its end).
        t, h: time after the step, and its size, with the user's sign.
        steps: attempts so far, this one included.
    """
    if meter is None:
        return
    before, after, t, h, steps = jax.lax.stop_gradient((before, after, t, h, steps))
    whole, now = jnp.mean(before), jnp.mean(after)
    attempts = jnp.max(steps)
    moved = jnp.floor(now / meter.every) > jnp.floor(whole / meter.every)
    first = attempts == 1
    crossed = moved | first | ((now >= 1) & (whole < 1)) | (attempts % meter.most_steps == 0)

    def tell(crossed: Any, first: Any, steps: Any, at: tuple[Any, Any, Any]) -> None:
        after, t, h = map(jnp.ravel, at)
        least = jnp.argmin(after)
        jax.debug.callback(meter.told, crossed, first, steps, (jnp.mean(after), t[least], h[least]))

    # Where no other device waits for it, a branch not taken costs nothing.
    jax.lax.cond(
        crossed,
        tell,
        lambda *_: None,
        crossed,
        first,
        attempts,
        (after, t, h),
    )
