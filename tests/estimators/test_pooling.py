"""Shares of simple rules, as validation shows; and those of the prior where that says little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from isocline.data import Columns, Series, SeriesTable, TimeAxis
from isocline.estimators.finishing import _later
from isocline.estimators.pooling import (
    ALONE,
    BESIDE,
    UNKNOWING,
    Pool,
    doubted,
    fitted_rules,
    prior_for,
    rules_for,
)
from isocline.estimators.preparing import Scaling
from isocline.evaluation import Persistence
from isocline.evaluation.autoregression import Autoregression
from isocline.evaluation.forecast import DENSE_LEVELS, Forecast

HORIZON = 2.0


def walks(count, seed=0, rows=40):
    """Random walks with a known error model of persistence: steps of a standard normal."""
    steps = np.random.default_rng(seed).normal(size=(count, rows, 1))
    return [
        Series(f"walk{k:03d}", np.arange(rows, dtype=float), np.cumsum(one, axis=0))
        for k, one in enumerate(steps)
    ]


def table(series):
    columns = Columns("time", "series", ("value",))
    return SeriesTable(tuple(series), ("value",), TimeAxis("number"), columns)


def forecasts_of(mean, times, spread):
    """A normal forecast around a mean."""
    mean = np.full((len(times), 1), mean)
    quantiles = mean[..., None] + spread * ndtri(np.array(DENSE_LEVELS))
    return Forecast(np.asarray(times), mean, quantiles)


def asked(series, guess, spread, origin=30.0):
    """Forecasts, histories and targets: `guess` gives the model's mean from a history."""
    histories = [one.between(-np.inf, origin) for one in series]
    targets = [one.between(origin, origin + HORIZON) for one in series]
    made = [forecasts_of(guess(h), t.times, spread) for h, t in zip(histories, targets)]
    return made, histories, targets


def test_a_model_that_knows_nothing_gives_way_where_cases_are_many():
    series = walks(200)
    rule = Persistence().fit(table([one.between(-np.inf, 20.0) for one in series]), HORIZON)
    pool = Pool.chosen(
        (rule,), *asked(series, lambda _: 0.0, 6.0), prior=ALONE, horizon=HORIZON, channels=1
    )
    assert pool.shares[0, 0] > 0.9
    few = asked(series[:2], lambda _: 0.0, 6.0)
    alone = Pool.chosen((rule,), *few, prior=ALONE, horizon=HORIZON, channels=1)
    # Two series at one or two horizons each are at most four cases.
    assert alone.shares[0, 0] <= 4 / (4 + ALONE.cases)


def test_a_model_that_knows_what_comes_keeps_everything():
    series = walks(200)
    rule = Persistence().fit(table([one.between(-np.inf, 20.0) for one in series]), HORIZON)
    made, histories, targets = asked(series, lambda _: 0.0, 0.1)
    made = [forecasts_of(t.values.mean(), t.times, 0.5) for t in targets]
    pool = Pool.chosen((rule,), made, histories, targets, prior=ALONE, horizon=HORIZON, channels=1)
    assert not pool.shares.any()
    assert pool.mixed(made, histories) is made


def test_forecasts_are_averaged_level_by_level():
    series = walks(20)
    rule = Persistence().fit(table(series), HORIZON)
    made, histories, _ = asked(series, lambda _: 3.0, 1.0)
    found = Pool(np.array([[0.25]]), (rule,)).mixed(made, histories)
    last = [rule.forecast(h, one.times) for h, one in zip(histories, made)]
    for one, model, other in zip(found, made, last):
        np.testing.assert_allclose(one.mean, 0.75 * model.mean + 0.25 * other.mean)
        np.testing.assert_allclose(one.quantiles, 0.75 * model.quantiles + 0.25 * other.quantiles)
        assert (np.diff(one.quantiles, axis=-1) >= 0).all()


def test_a_channel_that_was_never_observed_is_the_models_alone():
    series = walks(20)
    rule = Persistence().fit(table(series), HORIZON)
    blank = Series("blank", np.arange(3.0), np.full((3, 1), np.nan))
    made = forecasts_of(1.0, [3.5, 4.0], 1.0)
    [found] = Pool(np.array([[0.5]]), (rule,)).mixed([made], [blank])
    np.testing.assert_array_equal(found.quantiles, made.quantiles)


def test_two_rules_and_a_model_have_shares_that_make_one():
    series = walks(30)
    rules = tuple(one.fit(table(series), HORIZON) for one in rules_for((), True))
    made, histories, _ = asked(series, lambda _: 3.0, 1.0)
    [first, *_] = Pool(np.array([[0.2], [0.5]]), rules).mixed(made, histories)
    told = [rule.forecast(histories[0], made[0].times) for rule in rules]
    expected = 0.3 * made[0].quantiles + 0.2 * told[0].quantiles + 0.5 * told[1].quantiles
    np.testing.assert_allclose(first.quantiles, expected)


def test_where_cases_are_many_the_prior_gives_way():
    """Walks of known steps: the model knows what comes, so that no rule has more than its prior."""
    series = walks(200)
    seen = table([one.between(-np.inf, 20.0) for one in series])
    rules = tuple(one.fit(seen, HORIZON) for one in rules_for((), True))
    _, histories, targets = asked(series, lambda _: 0.0, 0.1)
    made = [forecasts_of(t.values.mean(), t.times, 0.5) for t in targets]
    pool = Pool.chosen(rules, made, histories, targets, prior=BESIDE, horizon=HORIZON, channels=1)
    assert pool.shares.sum() < 0.15
    few = Pool.chosen(
        rules, made[:2], histories[:2], targets[:2], prior=BESIDE, horizon=HORIZON, channels=1
    )
    assert 0.4 < few.shares.sum() < sum(BESIDE.shares)


def test_a_rule_that_can_not_tell_a_channel_has_no_share_there():
    """The regression has too few rows of it; the last value is judged all the same."""
    series = walks(200)
    last = Persistence().fit(table([one.between(-np.inf, 20.0) for one in series]), HORIZON)
    blank = Autoregression().fit(table(walks(2, rows=2)), HORIZON)
    cases = asked(series, lambda _: 0.0, 6.0)
    pool = Pool.chosen((last, blank), *cases, prior=BESIDE, horizon=HORIZON, channels=1)
    assert pool.shares[1, 0] == 0 and pool.shares[0, 0] > 0.7


def test_a_regression_learns_from_levels_that_later_rows_may_have():
    """Rows around their own mean return to it; walks do not, and the rows after them show it."""
    scores, inside = [], []
    for seed in range(6):
        long = walks(30, seed=seed, rows=24)
        whole = table([one.between(-np.inf, 19.0) for one in long])
        scaling = Scaling((), 2, 3.0, {}).fitted(whole)
        seen = whole.with_series([scaling.anomalies(one) for one in whole.series])
        [taught] = fitted_rules((Autoregression(),), whole, scaling)
        for rule in (taught, Autoregression().fit(seen, 3.0)):
            missed, held = [], []
            for one in long:
                history, later = one.between(-np.inf, 19.0), one.between(19.0, 22.0)
                scale = scaling.scale_of(history)
                made = rule.forecast(scaling.anomalies(history), later.times)
                truth = scaling.anomalies(later, scale).values
                missed.append(made.mean - truth)
                low, high = made.at((0.05, 0.95))[:, 0].T
                held.append((low <= truth[:, 0]) & (truth[:, 0] <= high))
            scores.append(np.sqrt(np.mean(np.square(missed))))
            inside.append(np.mean(held))
    assert np.mean(scores[::2]) < 0.95 * np.mean(scores[1::2])
    assert np.mean(inside[::2]) > 0.1 + np.mean(inside[1::2])


def test_of_thousands_of_series_each_is_shown_once():
    many = table(walks(500, rows=6))
    seen = doubted(many, Scaling((), 2, HORIZON, {}).fitted(many))
    assert len(seen.series) == 500
    few = table(walks(3))
    assert len(doubted(few, Scaling((), 2, HORIZON, {}).fitted(few)).series) == 24


def test_with_covariates_rules_have_to_show_what_they_are_for():
    blank = Scaling((), 2, HORIZON, {})
    assert prior_for(blank, linear=True) is BESIDE
    assert prior_for(replace(blank, covariates=object()), linear=True) is UNKNOWING
    assert prior_for(blank, linear=False) is ALONE


def test_a_pool_that_is_fitted_again_leaves_the_rules_of_before_as_they_were():
    scaling = Scaling((), 2, HORIZON, {})
    short, long = table(walks(20, rows=20)), table(walks(20, rows=40))
    rules = fitted_rules(rules_for((), True), short, scaling.fitted(short))
    pool = Pool(np.array([[0.0], [0.5]]), rules)
    histories = [Series("new", np.arange(9.0), np.arange(9.0)[:, None])]
    made = [forecasts_of(0.0, [9.0, 10.0], 1.0)]
    before = pool.mixed(made, histories)[0].mean
    again = pool.fitted(long, scaling.fitted(long))
    np.testing.assert_array_equal(pool.mixed(made, histories)[0].mean, before)
    assert (again.mixed(made, histories)[0].mean != before).any()


@pytest.mark.parametrize("targets", [[], [Series("a", np.array([31.0]), np.array([[np.nan]]))]])
def test_without_a_target_there_are_the_shares_of_the_prior(targets):
    rule = Persistence().fit(table(walks(3)), HORIZON)
    made = [forecasts_of(0.0, one.times, 1.0) for one in targets]
    histories = [Series("a", np.arange(30.0), np.zeros((30, 1)))] * len(targets)
    alone = Pool.chosen((rule,), made, histories, targets, prior=ALONE, horizon=HORIZON, channels=1)
    assert not alone.shares.any()
    rules = tuple(one.fit(table(walks(3)), HORIZON) for one in rules_for((), True))
    beside = Pool.chosen(rules, made, histories, targets, prior=BESIDE, horizon=HORIZON, channels=1)
    np.testing.assert_array_equal(beside.shares, np.array(BESIDE.shares)[:, None])


def test_rows_that_were_trained_on_do_not_count():
    target = Series("a", np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_array_equal(_later(target, 2.0).values, [[np.nan], [np.nan], [3.0]])


def test_series_of_other_sizes_do_not_tell_each_other_their_units():
    """Short walks of 5 % steps at levels from 1 to 10,000: each gets errors of its own size."""
    random = np.random.default_rng(5)
    levels = np.geomspace(1, 1e4, 60)
    times = np.arange(40.0)
    series = [
        Series(f"{k:02d}", times, level * np.exp(0.05 * random.normal(size=(40, 1)).cumsum(axis=0)))
        for k, level in enumerate(levels)
    ]
    whole = table(series)
    scaling = Scaling((), 2, HORIZON, {}).fitted(whole)
    [rule] = fitted_rules((Persistence(),), whole, scaling)
    for one in (series[0], series[-1]):
        anomalies = one.rows(slice(None), scaling.scaled(one))
        scale = scaling.scale_of(one)
        made = rule.forecast(anomalies, np.array([40.0, 41.0]))
        width = (made.quantiles[..., -1] - made.quantiles[..., 0]) * scale.spread
        assert (width / one.values[-1]).min() > 0.1 and (width / one.values[-1]).max() < 1.0
        assert made.mean[0, 0] * scale.spread[0] + scale.coefficients[0, 0] == pytest.approx(
            one.values[-1, 0]
        )
