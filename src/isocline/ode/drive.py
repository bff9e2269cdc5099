"""What drives a field: a function of time, on the user's clock or on one of its own."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float, PyTree

from .clock import Clock


class Drive(eqx.Module):
    """What drives a field.

    Attributes:
        path: a function of time.
        ahead: of trajectories that start at different times, how long after the first one.
        counted: whether its time is counted from the start of the solve (of the first trajectory).
    """

    path: Callable
    ahead: Float[Array, " batch"] | None
    counted: bool = eqx.field(static=True)


class Driven(eqx.Module):
    """A field `f(t, y, (args, u))` with the value u of what drives it."""

    f: Callable
    drive: Drive

    def at(self, clock: Clock, t: Float[Array, ""], y: PyTree, args: PyTree) -> PyTree:
        """The slope when the loop's clock shows t."""
        now, counted = clock.read(t), self.drive.counted
        return self.f(now, y, (args, self.drive.path(clock.passed(t) if counted else now)))
