"""The optimizers that a training can ask for by name."""

from __future__ import annotations

from collections.abc import Callable

import optax

_SAME_SIZE = 0.2  # root mean square of an update of Muon to the learning rate, about that of Adam


def _adamw(rate: optax.Schedule, decay: float) -> optax.GradientTransformation:
    return optax.adamw(rate, weight_decay=decay)


def _muon(rate: optax.Schedule, decay: float) -> optax.GradientTransformation:
    """Muon for matrices (Jordan et al. 2024), with steps as large as AdamW's (Liu et al. 2025)."""
    return optax.contrib.muon(
        rate, weight_decay=decay, adam_weight_decay=decay, consistent_rms=_SAME_SIZE
    )


OPTIMIZERS: dict[str, Callable[[optax.Schedule, float], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "muon": _muon,
}


def optimizer(
    name: str, *, learning_rate: float, total: int, clip: float, weight_decay: float
) -> optax.GradientTransformation:
    """An optimizer whose rate warms up over the first twentieth and falls by a cosine.

    Args:
        name: of `OPTIMIZERS`.
        learning_rate: the peak.
        total: steps of the training.
        clip: largest global norm of a gradient.
        weight_decay: decoupled from the gradient.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, max(total // 20, 1), max(total, 2), 0.02 * learning_rate
    )
    return optax.chain(optax.clip_by_global_norm(clip), OPTIMIZERS[name](schedule, weight_decay))
