"""What a model is asked early in its training."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from isocline.models import Context, Target

FIRST = 0.1  # of the longest horizon, asked at the start

Batch = tuple[Context, Target]


def growing_horizon(
    fraction: float, longest: float = 1.0
) -> Callable[[Batch, Float[Array, ""]], Batch] | None:
    """Ask for near times first, and for all of them once a fraction of the training is done.

    A long solve of an untrained field says little about its parameters; short ones are learnt fast
    and make the longer ones easy.

    Args:
        fraction: of all steps, after which everything is asked (0: from the start, no curriculum).
        longest: the latest time that is asked, in model time.
    """
    return Partial(_until, fraction, longest) if fraction else None


def _until(fraction: float, longest: float, batch: Batch, progress: Float[Array, ""]) -> Batch:
    context, target = batch
    share = FIRST + (1 - FIRST) * jnp.minimum(progress / fraction, 1.0)
    # Rounding must not cut off the last time when all are asked.
    return context, target.until(longest * jnp.where(progress >= fraction, jnp.inf, share))
