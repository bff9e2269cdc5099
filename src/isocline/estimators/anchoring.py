"""What the training rows say of persistence: where a level starts, and how well it is known.

A series that wanders has no level to come back to, but its training rows have a mean, and around
their own mean they always come back. A model that is shown them so learns to expect it of the
future as well. So the return that is measured is corrected for that, and the windows of training
are shifted by as much as the level is unknown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from isocline.data import SeriesTable

from .preparing import Scaling
from .tables import some_series
from .windows import Rows

LEADS = np.array([0.03, 0.1, 0.2, 0.4, 0.7, 1.0])  # in horizons
FADES = np.geomspace(0.01, 30.0, 24)
LEAST, MOST = 0.02, 0.98  # of the share
# A random walk of any length returns to the mean of its own rows this often in its span, as least
# squares see it (the mean of the Dickey-Fuller distribution with a constant).
RETURNS_OF_A_WALK = 5.4
FEWEST_RETURNS = 4.0


class Persistence(NamedTuple):
    """An anomaly some time after another is taken for `share * exp(-fade * lead)` of it."""

    share: Float[np.ndarray, " channels"]
    fade: Float[np.ndarray, " channels"]

    def returns(self, spans: Any) -> Float[np.ndarray, "*series channels"]:
        """How often each channel returns to its level in spans (in horizons), without bias."""
        turns = self.fade * np.asarray(spans)[..., None] - RETURNS_OF_A_WALK
        return np.maximum(turns, FEWEST_RETURNS)

    def doubt(self, spans: Any) -> Float[np.ndarray, "*series channels"]:
        """Standard deviation of the error of a mean over such spans, in spreads around that mean.

        That of an Ornstein-Uhlenbeck process with as many returns; at least over one horizon.
        """
        turns = self.returns(np.maximum(spans, 1.0))
        missed = self.share * 2 / turns * (1 - (1 - np.exp(-turns)) / turns)
        return np.sqrt(missed / (1 - missed))


def persistence_of(table: SeriesTable, scaling: Scaling) -> Persistence:
    """Share and fade of each channel that tell later anomalies best, by least squares."""
    pairs = [_pairs(one, scaling) for one in some_series(table)]
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
    return Persistence(np.array(shares), np.array(fades))


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


def spans_of(table: SeriesTable, scaling: Scaling) -> Float[np.ndarray, " series"]:
    """How long each series lasts, in horizons."""
    return np.array([one.times[-1] - one.times[0] for one in table.series]) / scaling.horizon


def with_persistence(model: Any, found: Persistence, spans: Float[np.ndarray, " series"]) -> Any:
    """An ensemble of anchored models whose levels start from there."""
    span = max(float(np.median(spans)), 1.0)
    numbers = np.log(found.returns(span) / span), np.log(found.share / (1 - found.share))
    like = model.members.level.log_fade
    filled = [jnp.broadcast_to(jnp.asarray(n, like.dtype), like.shape) for n in numbers]
    return eqx.tree_at(
        lambda one: (one.members.level.log_fade, one.members.level.raw_share), model, filled
    )


def with_doubt(rows: Rows, found: Persistence, spans: Float[np.ndarray, " series"]) -> Rows:
    """Training rows whose level is known as badly as series that persist so allow."""
    level = rows.doubt[:, :, 0, 0]
    least = jnp.asarray(found.doubt(spans), level.dtype)
    return rows._replace(doubt=rows.doubt.at[:, :, 0, 0].set(jnp.maximum(level, least)))
