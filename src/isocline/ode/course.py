"""What may happen on the way of a solve: events, breakpoints, inputs, a domain, dense output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array

from ..errors import InputError
from .arguments import is_traced, read_array, read_count
from .complex_state import Pairs
from .domain import INSIDE, read_domain
from .drive import Drive, Driven
from .events import CONDITIONS, JUMPS, Conditions, Event, Jumps, read_events
from .inputs import read_drive, with_breakpoints
from .rows import Rows
from .tableaus import ByDiffrax, Known
from .times import Times, read_breakpoints


class Wanted(NamedTuple):
    """The arguments of `solve`, as they were given."""

    events: Any
    max_events: Any
    breakpoints: Any
    inputs: Any
    domain: Any
    dense: bool


class Course(eqx.Module):
    """The same, read.

    Attributes:
        breaks: breakpoints, in the user's time, as time since the start, and on the clock of a
            path, if given.
        drive: the inputs, if there are any.
        domain: says of (t, y, args) whether that is allowed, if given.
    """

    events: tuple[Event, ...]
    breaks: tuple[Array, Array, Array | None] | None
    drive: Drive | None
    domain: Callable | None
    max_events: int | None = eqx.field(static=True)
    dense: bool = eqx.field(static=True)

    @property
    def in_parts(self) -> bool:
        """Whether a solve may end before its last time, and perhaps go on."""
        return bool(self.events) or self.breaks is not None

    @property
    def goes_on(self) -> bool:
        """Whether it may go on after that."""
        return self.breaks is not None or any(event.ends_at != 1 for event in self.events)

    def beside(self, rows: Rows) -> dict[str, Callable]:
        """What is to be asked beside the field, by name."""
        functions: dict[str, Callable] = {}
        if self.events:
            functions[CONDITIONS] = Conditions(self.events)
            functions[JUMPS] = Jumps(self.events, rows.ravel)
        if self.domain is not None:
            functions[INSIDE] = self.domain
        return functions

    def driven(self, f: Callable) -> Any:
        """The field with its inputs, if there are any."""
        return f if self.drive is None else Driven(f, self.drive)

    def looks_between(self, times: Times) -> bool:
        """Whether values between the ends of steps are asked for."""
        return self.dense or times.ts.shape[-1] > 1

    def named(self) -> list[str]:
        """The arguments that were given."""
        given = {
            "events=": self.events,
            "breakpoints=": self.breaks is not None,
            "domain=": self.domain is not None,
            "dense=": self.dense,
        }
        return [name for name, value in given.items() if value]


def read_course(
    wanted: Wanted, state: tuple[Any, Pairs | None], clock: tuple[dict[str, Any], Times]
) -> Course:
    """Read what may happen on the way.

    Args:
        state: the initial state, and what of it is complex.
        clock: `ts` and `t0` as they were given, and what they were read as.
    """
    (y0, pairs), (given, times) = state, clock
    start = given["ts"][..., 0] if given["t0"] is None else given["t0"]
    start = start if is_traced(start) else np.asarray(start)
    points = read_array("breakpoints", with_breakpoints(wanted.breakpoints, wanted.inputs))
    limit, drive = wanted.max_events, read_drive(wanted.inputs, start, times.ts.dtype)
    return Course(
        events=read_events(wanted.events, pairs),
        breaks=read_breakpoints(points, start, times, drive is not None and drive.counted),
        drive=drive,
        domain=read_domain(wanted.domain, y0, pairs),
        max_events=None if limit is None else read_count("max_events", limit),
        dense=bool(wanted.dense),
    )


def check_course(method: Known, adjoint: str, fixed: bool, course: Course) -> str:
    """The adjoint that is asked for, once it is clear that all goes together.

    Raises:
        InputError: it does not, or the method or fixed steps do not.
    """
    named = course.named()
    if not named:
        return adjoint
    if isinstance(method, ByDiffrax):
        raise InputError(
            f"{named[0]} does not go with method={method.name!r}, which Diffrax runs: use a method "
            "of ours, as 'rodas5p'."
        )
    if adjoint == "reversible" and named != ["dense="]:
        raise InputError(f"{named[0]} does not go with adjoint='reversible': use 'replay'.")
    if fixed and course.goes_on:
        raise InputError(
            "breakpoints=, and events that do not end the solve, need adaptive steps: leave out "
            "steps= and grid=, or let grid= hold the breakpoints."
        )
    return "replay" if adjoint == "auto" and fixed else adjoint
