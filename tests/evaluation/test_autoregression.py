"""Linear forecasts: what a straight line through the past can know, they know; and no more."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from isocline.data import Columns, Series, SeriesTable, TimeAxis
from isocline.errors import InputError
from isocline.evaluation import Persistence, coverage
from isocline.evaluation.autoregression import (
    FEWEST,
    PAIRS,
    Autoregression,
    _chosen,
    _leads,
    _values_at,
)


def table(*series):
    channels = tuple(f"c{k}" for k in range(series[0].values.shape[1]))
    columns = Columns("time", "series", channels)
    return SeriesTable(tuple(series), channels, TimeAxis("number"), columns)


def process(share, rows=600, seed=0, drift=0.0):
    """An AR(1) process with steps of a standard normal; a random walk with a share of one."""
    steps = np.random.default_rng(seed).normal(size=rows) + drift
    values = np.empty(rows)
    last = 0.0
    for k, step in enumerate(steps):
        last = share * last + step
        values[k] = last
    return Series("a", np.arange(rows, dtype=float), values[:, None])


def upto(series, origin):
    return series.between(-np.inf, origin)


def test_a_series_that_returns_is_told_to_return():
    series = process(0.8, rows=4000)
    rule = Autoregression().fit(table(series), 4.0)
    history = Series("new", np.arange(30.0), np.r_[np.zeros(29), 3.0][:, None])
    made = rule.forecast(history, 29.0 + np.arange(1, 5.0))
    np.testing.assert_allclose(made.mean[:, 0], 3 * 0.8 ** np.arange(1, 5), atol=0.25)


def test_a_walk_that_drifts_goes_on_from_its_last_value():
    series = process(1.0, drift=1.0)
    rule = Autoregression().fit(table(series), 10.0)
    made = rule.forecast(series, 599.0 + np.array([1.0, 5.0, 10.0]))
    gained = made.mean[:, 0] - series.values[-1, 0]
    np.testing.assert_allclose(gained, [1.0, 5.0, 10.0], rtol=0.25)


def test_its_intervals_hold_what_they_say_on_rows_it_has_not_seen():
    series = process(0.9, rows=3000)
    rule = Autoregression().fit(table(upto(series, 1500.0)), 8.0)
    last = Persistence().fit(table(upto(series, 1500.0)), 8.0)
    inside, ours, theirs = [], [], []
    for origin in np.arange(1510.0, 2980.0, 7.0):
        target = series.between(origin, origin + 8.0)
        made = rule.forecast(upto(series, origin), target.times)
        inside.append(coverage(made.at((0.05,))[..., 0], made.at((0.95,))[..., 0], target.values))
        ours.append(made.mean - target.values)
        simple = last.forecast(upto(series, origin), target.times)
        theirs.append(simple.mean - target.values)
    assert 0.85 < np.mean(inside) < 0.95
    # An AR(1) process of 0.9 is best told so at eight steps; the last value errs more by a fifth.
    assert np.mean(np.square(ours)) < 0.8 * np.mean(np.square(theirs))


def test_another_channel_tells_what_its_own_past_does_not():
    draw = np.random.default_rng(1)
    leader = draw.normal(size=500)
    follower = np.r_[0.0, leader[:-1]] + 0.1 * draw.normal(size=500)
    series = Series("a", np.arange(500.0), np.stack([leader, follower], axis=1))
    rule = Autoregression().fit(table(upto(series, 400.0)), 2.0)
    missed = [
        rule.forecast(upto(series, origin), np.array([origin + 1])).mean[0, 1]
        - series.values[int(origin) + 1, 1]
        for origin in np.arange(410.0, 490.0)
    ]
    assert np.std(missed) < 0.2


def test_a_ragged_season_is_told_by_what_it_was_a_period_ago():
    draw = np.random.default_rng(2)
    values = np.tile(draw.normal(size=40), 15) + 0.2 * draw.normal(size=600)
    series = Series("a", np.arange(600.0), values[:, None])
    known, asked = upto(series, 580.0), np.arange(581.0, 591.0)
    missed = []
    for periods in ((), (40.0,)):
        rule = Autoregression(periods).fit(table(known), 10.0)
        missed.append(np.std(rule.forecast(known, asked).mean[:, 0] - values[581:591]))
    assert missed[1] < 0.5 < missed[0]


def test_irregular_times_and_gaps_do():
    draw = np.random.default_rng(3)
    regular = process(0.95, rows=2000, seed=4)
    kept = np.sort(draw.choice(2000, 900, replace=False))
    values = regular.values[kept].repeat(2, axis=1)
    values[draw.uniform(size=values.shape) < 0.3] = np.nan
    series = Series("a", regular.times[kept], values)
    rule = Autoregression().fit(table(series), 20.0)
    made = rule.forecast(upto(series, 1500.0), 1500.0 + np.array([0.5, 3.3, 19.0, 40.0]))
    assert np.isfinite(made.mean).all() and (np.diff(made.quantiles, axis=-1) >= 0).all()
    # Beyond the horizon it is what it is there.
    assert made.mean[3, 0] == pytest.approx(made.mean[2, 0], abs=0.5)


def test_what_came_after_an_origin_is_not_used():
    times, values = np.array([0.0, 1.0, 3.0]), np.array([1.0, 2.0, 100.0])
    asked = np.array([[2.0, 1.5, 0.5, -1.0]])
    seen = _values_at(times, values, asked, np.array([2.0]))
    np.testing.assert_allclose(seen, [[2.0, 2.0, 1.5, 0.0]])


def test_of_what_it_could_not_learn_it_says_nothing():
    short = Series("a", np.arange(4.0), np.ones((4, 1)))
    assert FEWEST > 3  # pairs of its rows at each lead
    made = Autoregression().fit(table(short), 2.0).forecast(short, np.array([4.0, 5.0]))
    assert np.isnan(made.mean).all()
    half = Series("a", np.arange(80.0), np.stack([np.sin(np.arange(80)), np.full(80, np.nan)], 1))
    made = Autoregression().fit(table(half), 5.0).forecast(half, np.array([80.0, 84.0]))
    assert np.isfinite(made.mean[:, 0]).all() and np.isnan(made.mean[:, 1]).all()
    lonely = Series("a", np.zeros(1), np.ones((1, 1)))
    assert np.isnan(Autoregression().fit(table(lonely), 1.0).forecast(lonely, np.ones(1)).mean)


def test_the_next_row_is_told_by_pairs_of_next_rows():
    """However far the horizon is."""
    series = process(0.97, rows=5000, seed=5)
    known = upto(series, 3999.0)
    rule = Autoregression().fit(table(known), 500.0)
    missed = [
        rule.forecast(upto(series, origin), np.array([origin + 1])).mean[0, 0]
        - series.values[int(origin) + 1, 0]
        for origin in np.arange(4000.0, 4900.0, 3.0)
    ]
    assert np.std(missed) < 1.06  # the steps themselves have a spread of one


def test_a_long_series_needs_no_list_of_all_its_pairs():
    rows = 200_000
    series = Series("a", np.arange(rows, dtype=float), np.zeros((rows, 1)))
    tracemalloc.start()
    Autoregression().fit(table(series), rows / 10)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


def test_short_series_that_begin_together_are_learnt_from():
    """All pairs of a lead end at one time: then series are left out in turn, not times."""
    many = [process(0.9, rows=3, seed=k) for k in range(500)]
    rule = Autoregression().fit(table(*many), 1.0)
    history = Series("new", np.arange(2.0), np.full((2, 1), 2.0))
    assert 1.5 < rule.forecast(history, np.array([2.0])).mean[0, 0] < 2.1


@pytest.mark.parametrize("start", [0.0, 1e9, 20_000.0])
@pytest.mark.parametrize("step", [0.1, 1 / 24])
def test_times_that_do_not_come_out_even_are_met(start, step):
    """The first value stays one, and a period ago is one period ago."""
    times = start + step * np.arange(40)
    rule = Autoregression((12 * step,)).fit(table(Series("a", times, np.ones((40, 1)))), 3 * step)
    for last in range(2, 12):
        one = Series("a", times[:last], np.arange(1.0, last + 1)[:, None])
        own = rule._own(one, times[last - 1 : last], times[last : last + 1])
        np.testing.assert_allclose(own[0, 0, :last], np.arange(last, 0, -1), atol=1e-4)
    whole = Series("a", times, np.arange(40.0)[:, None])
    own = rule._own(whole, times[20:21], times[32:33])
    assert own[0, 0, -1] == pytest.approx(20, abs=1e-3)


@pytest.mark.slow
def test_many_channels_are_learnt_from_fewer_pairs():
    """Each has a regression of its own, on more than that of few channels."""
    draw = np.random.default_rng(6)
    series = Series("a", np.arange(3000.0), draw.normal(size=(3000, 32)).cumsum(axis=0))
    leads = _leads(24.0, 1.0)
    counts = [
        np.bincount(_chosen(table(one), leads, 24.0)[:, 3])
        for one in (series, Series("a", series.times, series.values[:, :1]))
    ]
    assert counts[0].max() <= PAIRS / 4 and counts[0].min() > PAIRS / 8
    assert counts[1].max() <= PAIRS and len(counts[0]) == len(leads) <= 12
    short = series.rows(slice(200))
    made = Autoregression().fit(table(short), 6.0).forecast(short, np.array([200.0, 206.0]))
    assert np.isfinite(made.quantiles).all()


def test_series_learn_from_each_other():
    many = [process(0.9, rows=12, seed=k) for k in range(60)]
    many = [Series(f"s{k}", one.times, one.values) for k, one in enumerate(many)]
    rule = Autoregression().fit(table(*many), 3.0)
    history = Series("new", np.arange(10.0), np.full((10, 1), 2.0))
    told = rule.forecast(history, np.array([10.0])).mean[0, 0]
    assert 1.5 < told < 2.0


def test_a_fit_of_many_rows_takes_some_of_them_and_always_the_same():
    series = process(0.9, rows=6000)
    first, second = (Autoregression().fit(table(series), 50.0) for _ in range(2))
    asked = 5999.0 + np.array([1.0, 30.0])
    found = first.forecast(series, asked), second.forecast(series, asked)
    np.testing.assert_array_equal(found[0].quantiles, found[1].quantiles)


def test_it_says_what_is_wrong():
    with pytest.raises(InputError, match="positive"):
        Autoregression((0.0,))
    with pytest.raises(InputError, match="not fitted"):
        Autoregression().forecast(process(0.5), np.array([600.0]))
