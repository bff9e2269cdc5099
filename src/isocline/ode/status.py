"""How a trajectory ended."""

from __future__ import annotations

from enum import IntEnum

from jaxtyping import Array, Bool, Int


class Status(IntEnum):
    """One a trajectory: RUNNING only inside the loop, SUCCESS or EVENT, or why it failed."""

    RUNNING = 0
    SUCCESS = 1
    MAX_STEPS = 2
    STEP_UNDERFLOW = 3
    NON_FINITE = 4
    BACKWARD_FAILED = 5
    EVENT = 6
    EVENT_LIMIT = 7
    LEFT_DOMAIN = 8
    STATES_APART = 9


def succeeded(status: Int[Array, "*lanes"]) -> Bool[Array, "*lanes"]:
    """Whether a trajectory reached its last time, or an event that ends it."""
    return (status == Status.SUCCESS) | (status == Status.EVENT)
