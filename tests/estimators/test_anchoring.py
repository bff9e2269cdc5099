"""Where a level starts: what the training rows say of persistence."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import Series, SeriesTable
from isocline.data.table import Columns, TimeAxis
from isocline.estimators.anchoring import (
    FEWEST_RETURNS,
    Persistence,
    persistence_of,
    spans_of,
    with_doubt,
)
from isocline.estimators.preparing import Scaling
from isocline.estimators.windows import gather_rows

HORIZON = 20.0


def table_of(*columns):
    """A series of one channel for each, with a row a unit of time; and its scaling."""
    series = tuple(
        Series(f"{k}", np.arange(len(one), dtype=float), np.asarray(one, float)[:, None])
        for k, one in enumerate(columns)
    )
    table = SeriesTable(series, ("x",), TimeAxis("number"), Columns("time", "series", ("x",)))
    return table, Scaling((), 2, HORIZON, {}).fitted(table)


def started(values):
    """Share and fade for one series of one channel."""
    (share,), (fade,) = persistence_of(*table_of(values))
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


def test_a_short_walk_is_not_believed_to_return():
    """Around the mean of its own rows it seems to return more than five times in its span."""
    walks = np.cumsum(np.random.default_rng(3).normal(size=(40, 8 * int(HORIZON))), axis=1)
    table, scaling = table_of(*walks)
    found, spans = persistence_of(table, scaling), spans_of(table, scaling)
    span = np.median(spans)
    assert found.fade[0] * span > 5
    assert found.returns(span) == FEWEST_RETURNS


def test_the_level_of_a_series_is_doubted_as_far_as_it_persists():
    """As the mean of an autoregression over its span errs, which simulations say."""
    random, returns = np.random.default_rng(4), 30.0
    steps = 400
    factor = np.exp(-returns / steps)
    paths = np.zeros((4000, steps))
    paths[:, 0] = random.normal(size=4000)
    for k in range(1, steps):
        noise = np.sqrt(1 - factor**2) * random.normal(size=4000)
        paths[:, k] = factor * paths[:, k - 1] + noise
    missed = np.std(paths.mean(axis=1)) / np.sqrt(np.mean(paths.var(axis=1)))
    # In a span of one horizon; what least squares would find has the bias on top.
    found = Persistence(np.array([1.0]), np.array([returns + 5.4]))
    assert found.doubt(1.0) == pytest.approx(missed, rel=0.05)


@pytest.mark.slow
def test_training_windows_are_shifted_by_the_doubt():
    walk = np.cumsum(np.random.default_rng(5).normal(size=8 * int(HORIZON)))
    table, scaling = table_of(walk)
    found, spans = persistence_of(table, scaling), spans_of(table, scaling)
    rows = gather_rows(table, scaling)
    widened = with_doubt(rows, found, spans)
    assert widened.doubt[0, 0, 0, 0] == pytest.approx(found.doubt(spans)[0, 0], rel=1e-5)
    assert widened.doubt[0, 0, 0, 0] > 1.5 * rows.doubt[0, 0, 0, 0]
    steady = gather_rows(*table_of(np.random.default_rng(6).normal(size=400)))
    same = with_doubt(steady, *_found(np.random.default_rng(6).normal(size=400)))
    np.testing.assert_array_equal(same.doubt, steady.doubt)


def _found(values):
    table, scaling = table_of(values)
    return persistence_of(table, scaling), spans_of(table, scaling)
