"""Where the level of a forecaster starts in training: what the training rows say of persistence."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from isocline.data import SeriesTable

from .preparing import Scaling

LEADS = np.array([0.03, 0.1, 0.2, 0.4, 0.7, 1.0])  # in horizons
FADES = np.geomspace(0.01, 30.0, 24)
LEAST, MOST = 0.02, 0.98  # of the share
MOST_SERIES = 200


def persistence_of(
    table: SeriesTable, scaling: Scaling
) -> tuple[Float[np.ndarray, " channels"], Float[np.ndarray, " channels"]]:
    """Share and fade of each channel that tell later anomalies best, by least squares.

    An anomaly some time after another is taken for `share * exp(-fade * lead)` of it.
    """
    chosen = np.linspace(0, len(table.series) - 1, min(len(table.series), MOST_SERIES)).astype(int)
    pairs = [_pairs(table.series[k], scaling) for k in np.unique(chosen)]
    leads, before, after = (np.concatenate(part) for part in zip(*pairs, strict=True))
    shares, fades = [], []
    for channel in range(before.shape[1]):
        there = np.isfinite(before[:, channel]) & np.isfinite(after[:, channel])
        x, y, lead = before[there, channel], after[there, channel], leads[there]
        faded = x * np.exp(-FADES[:, None] * lead)
        power = np.sum(faded**2, axis=1)
        share = np.clip(faded @ y / np.maximum(power, 1e-12), LEAST, MOST)
        best = np.argmin(np.sum((y - share[:, None] * faded) ** 2, axis=1)) if len(x) else 0
        shares.append(share[best])
        fades.append(FADES[best])
    return np.array(shares), np.array(fades)


def _pairs(one: Any, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leads in horizons, and the anomalies before and after them."""
    scaled = scaling.scaled(one)
    places = np.arange(len(one))
    first, second = [], []
    for lead in LEADS:
        later = np.searchsorted(one.times, one.times + lead * scaling.horizon, side="right") - 1
        fine = later > places
        first.append(places[fine])
        second.append(later[fine])
    i, j = np.concatenate(first), np.concatenate(second)
    return (one.times[j] - one.times[i]) / scaling.horizon, scaled[i], scaled[j]


def with_persistence(model: Any, table: SeriesTable, scaling: Scaling) -> Any:
    """An ensemble of anchored models whose levels start from there."""
    shares, fades = persistence_of(table, scaling)
    numbers = np.log(fades), np.log(shares / (1 - shares))
    like = model.members.level.log_fade
    filled = [jnp.broadcast_to(jnp.asarray(n, like.dtype), like.shape) for n in numbers]
    return eqx.tree_at(
        lambda one: (one.members.level.log_fade, one.members.level.raw_share), model, filled
    )
