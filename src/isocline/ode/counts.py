"""Counts of steps."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


class Counts(NamedTuple):
    """Steps of each lane so far.

    Attributes:
        filled: attempts that evaluated the extra stages of dense output.
        replayed: how often an adjoint that replays the accepted steps evaluates those again.
        stiff, stiff_accepted: attempts and steps that a switching method left to the stiff one.
    """

    accepted: Int[Array, "*lanes"]
    rejected: Int[Array, "*lanes"]
    filled: Int[Array, "*lanes"]
    replayed: Int[Array, "*lanes"]
    stiff: Int[Array, "*lanes"]
    stiff_accepted: Int[Array, "*lanes"]

    def after(
        self,
        attempt: tuple[Bool[Array, "*lanes"], ...],
        late: Bool[Array, ""],
        stiff: Bool[Array, "*lanes"] | None,
    ) -> Counts:
        """With one attempt more.

        Args:
            attempt: where it was made, accepted, with the stages of dense output, and with save
                times in it that want them.
            late: whether a record would have no notes of it, so that it is computed again.
            stiff: where it was left to the stiff method, if there are two.
        """
        running, accepted, fill, wanted = attempt
        left = jnp.zeros_like(running) if stiff is None else stiff
        twice = jnp.where(late, 2, 1).astype(jnp.int32)
        return Counts(
            self.accepted + accepted,
            self.rejected + (running & ~accepted),
            self.filled + fill,
            self.replayed + jnp.where(wanted & accepted, twice, 0),
            self.stiff + (running & left),
            self.stiff_accepted + (accepted & left),
        )
