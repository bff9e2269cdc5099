"""What trainings share: which rows are held out, and that something was learnt."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from isocline.errors import InputError
from isocline.train import Trained


def held_out(
    count: int, share: float, seed: int
) -> tuple[Int[np.ndarray, " learnt"], Int[np.ndarray, " held"]]:
    """Which of so many rows are learnt from, and which the epoch is chosen by: one at least each.

    Args:
        count: of the rows, at least 2.
        share: of them that is held out.
        seed: of the draw.
    """
    mixed = np.random.default_rng(seed).permutation(count)
    held = min(max(round(share * count), 1), count - 1)
    return mixed[held:], mixed[:held]


def require_usable(
    trained: Trained, measure: str = "loss", mend: str = "Lower the learning rate."
) -> None:
    """Refuse a training without an epoch that is any good.

    Args:
        trained: what `isocline.train.train` gave.
        measure: what was not finite.
        mend: what to do.

    Raises:
        InputError: as said.
    """
    if not trained.best_epoch:
        raise InputError(
            f"Training found no usable model: the {measure} was not finite in any epoch. {mend}"
        )
