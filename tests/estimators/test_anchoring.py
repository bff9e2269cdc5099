"""Where a level starts: what the training rows say of persistence."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import Series, SeriesTable
from isocline.data.table import Columns, TimeAxis
from isocline.estimators.anchoring import persistence_of
from isocline.estimators.preparing import Scaling

HORIZON = 20.0


def started(values):
    """Share and fade for one series of one channel, with a row a unit of time."""
    one = Series("", np.arange(len(values), dtype=float), np.asarray(values, float)[:, None])
    table = SeriesTable((one,), ("x",), TimeAxis("number"), Columns("time", None, ("x",)))
    (share,), (fade,) = persistence_of(table, Scaling((), 2, HORIZON, {}).fitted(table))
    return share, fade


def autoregressive(factor, count=4000):
    noise = np.random.default_rng(0).normal(size=count)
    values = np.zeros(count)
    for k in range(1, count):
        values[k] = factor * values[k - 1] + noise[k]
    return values


@pytest.mark.parametrize("factor", [0.8, 0.95])
def test_an_autoregression_has_its_own_fade(factor):
    """`x(t + lead) = factor ** lead x(t)`, leads in horizons."""
    share, fade = started(autoregressive(factor))
    assert share > 0.85
    assert fade == pytest.approx(-HORIZON * np.log(factor), rel=0.35)


def test_white_noise_has_no_share_and_a_random_walk_stays():
    share, _ = started(np.random.default_rng(1).normal(size=3000))
    assert share < 0.15
    share, fade = started(np.cumsum(np.random.default_rng(2).normal(size=3000)))
    assert share > 0.9 and fade < 0.5


def test_a_channel_that_was_never_observed_has_some_numbers():
    share, fade = started(np.full(50, np.nan))
    assert 0 < share < 1 and np.isfinite(fade)
