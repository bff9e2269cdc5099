"""Which adjoint: what was asked for, if it goes with the problem, or what suits it."""

from __future__ import annotations

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from ...errors import InputError
from ..record import computed_again, size_for
from ..stepping import note_rows
from ..tableaus import ByDiffrax, Known, Method
from .forward import check_direct
from .reversible import check_reversible

# A reversible step is two steps each way. Replay is as dear where each step is computed again so
# many times, for want of memory.
DEAR = 4


class Wish(NamedTuple):
    """What a choice depends on.

    Attributes:
        fixed: the number of steps, where that is fixed.
        between: whether values between the ends of steps are asked for.
        state: bytes of the state; None for independent trajectories.
    """

    method: Known
    fixed: int | None
    between: bool
    state: int | None
    max_steps: int
    record_bytes: int


class Choice(NamedTuple):
    """An adjoint by name, and why it is that one."""

    adjoint: str
    why: str


def choose(asked: str, wish: Wish) -> Choice:
    """The adjoint that was asked for, or for "auto" the one that suits.

    Raises:
        InputError: the one that was asked for does not go with the method, or the steps.
    """
    if asked == "reversible":
        check_reversible(wish.method, wish.between)
    if asked == "direct":
        check_direct(wish.fixed is not None, wish.max_steps)
    if isinstance(wish.method, ByDiffrax):
        return _for_diffrax(asked, wish.method)
    if asked != "auto":
        return Choice(asked, "it was asked for")
    if wish.fixed is None or wish.state is None:
        return Choice("replay", "it is exact, and keeps what it records within record_bytes")
    rows = note_rows(cast(Method, wish.method), wish.between)
    size = size_for(wish.fixed, rows, wish.state, wish.record_bytes)
    with jax.ensure_compile_time_eval():
        again = int(computed_again(size, jnp.asarray(wish.fixed))) / wish.fixed
    if again <= DEAR:
        return Choice("replay", f"it is exact, and computes {again:.2g} of each step again")
    return Choice(
        "replay",
        f"it is exact, though {wish.fixed} fixed steps are too much to keep within record_bytes="
        f"{wish.record_bytes} and each is computed {again:.2g} times again: raise it, or use "
        "adjoint='reversible' for a field that contracts little",
    )


def _for_diffrax(asked: str, method: ByDiffrax) -> Choice:
    """What Diffrax's own loop can do."""
    if asked not in ("auto", "replay", "forward"):
        raise InputError(
            f"adjoint={asked!r} does not go with method={method.name!r}, which Diffrax runs: use "
            "adjoint='replay' or 'forward', or a method of ours, as 'rodas5p'."
        )
    if asked == "forward":
        return Choice(asked, "it was asked for")
    return Choice("replay", "Diffrax goes back over its own checkpoints")
