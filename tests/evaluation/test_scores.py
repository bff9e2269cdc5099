"""Scores against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isocline.errors import InputError
from isocline.evaluation import (
    DENSE_LEVELS,
    LEVELS,
    Forecast,
    coverage,
    crps_gaussian,
    crps_quantiles,
    crps_samples,
    mae,
    rmse,
    summarize,
)

finite = st.floats(-100, 100)


@settings(max_examples=40, deadline=None)
@given(
    samples=arrays(float, st.tuples(st.integers(2, 9), st.just(3)), elements=finite),
    target=arrays(float, 3, elements=finite),
)
def test_crps_of_samples_is_its_definition(samples, target):
    count = len(samples)
    distance = np.abs(samples - target).mean()
    pairs = np.abs(samples[:, None] - samples[None]).mean(axis=2).sum()
    for fair, weight in ((True, count * (count - 1)), (False, count**2)):
        expected = distance - pairs / (2 * weight)
        assert crps_samples(samples, target, fair=fair) == pytest.approx(expected, abs=1e-9)


@given(mean=finite, std=st.floats(0.01, 10), target=finite)
def test_crps_of_a_normal_is_its_integral(mean, std, target):
    from scipy.special import ndtr

    grid = np.linspace(min(mean - 10 * std, target) - 1, max(mean + 10 * std, target) + 1, 200_001)
    integral = np.trapezoid((ndtr((grid - mean) / std) - (grid >= target)) ** 2, grid)
    score = crps_gaussian(*(np.array([one]) for one in (mean, std, target)))
    assert score == pytest.approx(integral, rel=1e-3, abs=2e-3)


def test_a_sure_normal_is_scored_by_its_error():
    assert crps_gaussian(np.zeros(2), np.zeros(2), np.array([1.0, -3.0])) == 2


def test_all_ways_to_score_agree():
    random = np.random.default_rng(0)
    mean, std = random.standard_normal((2, 4000))
    std = np.exp(std / 2)
    target = mean + std * random.standard_normal(4000)
    exact = crps_gaussian(mean, std, target)
    samples = mean + std * random.standard_normal((200, 4000))
    assert crps_samples(samples, target) == pytest.approx(exact, rel=0.01)
    forecast = Forecast.from_gaussian(np.arange(4000.0), mean[:, None], std[:, None])
    assert crps_quantiles(forecast.quantiles[:, 0], forecast.levels, target) == pytest.approx(
        exact, rel=0.01
    )
    sampled = Forecast.from_samples(forecast.times, samples[..., None])
    assert summarize([sampled], [target[:, None]])["crps"] == pytest.approx(exact, rel=0.015)


def test_the_true_distribution_scores_best():
    random = np.random.default_rng(1)
    target = random.standard_normal((5000, 1))
    times = np.arange(5000.0)

    def score(shift, width):
        forecast = Forecast.from_gaussian(
            times, np.full((5000, 1), shift), np.full((5000, 1), width)
        )
        return summarize([forecast], [target])["crps"]

    best = score(0.0, 1.0)
    assert all(best < score(*other) for other in ((0.3, 1.0), (-0.3, 1.0), (0.0, 0.6), (0.0, 1.6)))


def test_summary_of_a_calibrated_forecast():
    random = np.random.default_rng(2)
    target = random.standard_normal((20_000, 2))
    target[::7] = np.nan
    zeros = np.zeros_like(target)
    forecast = Forecast.from_gaussian(np.arange(20_000.0), zeros, zeros + 1)
    scores = summarize([forecast], [target])
    assert list(scores) == ["rmse", "mae", "crps", "coverage_50", "coverage_90"]
    expected = [1, np.sqrt(2 / np.pi), 1 / np.sqrt(np.pi), 0.5, 0.9]
    np.testing.assert_allclose(list(scores.values()), expected, atol=0.015)
    # Forecasts in pieces score as the whole does.
    pieces = [
        Forecast(*(part[rows] for part in (forecast.times, forecast.mean, forecast.quantiles)))
        for rows in (slice(0, 99), slice(99, None))
    ]
    assert summarize(pieces, [target[:99], target[99:]]) == pytest.approx(scores)


def test_simple_scores_leave_out_what_was_not_observed():
    mean, target = np.array([1.0, 2, 3, 9]), np.array([2.0, 2, 5, np.nan])
    assert rmse(mean, target) == pytest.approx(np.sqrt(5 / 3))
    assert mae(mean, target) == 1
    assert coverage(mean - 1, mean + 1, target) == pytest.approx(2 / 3)
    assert np.isnan(mae(mean, np.full(4, np.nan)))


def test_levels_are_among_the_dense_ones():
    assert set(LEVELS) <= set(DENSE_LEVELS) and len(DENSE_LEVELS) == 19


@given(level=st.floats(0.05, 0.95))
def test_quantiles_at_other_levels_are_in_between(level):
    forecast = Forecast(np.zeros(1), np.zeros((1, 1)), np.array(DENSE_LEVELS)[None, None] * 2)
    np.testing.assert_allclose(forecast.at([level]), 2 * level)
    np.testing.assert_allclose(forecast.at([0.001, 0.999])[0, 0], [0.1, 1.9])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="19 levels"):
        Forecast(np.zeros(2), np.zeros((2, 1)), np.zeros((2, 1, 5)))
    forecast = Forecast.from_gaussian(np.zeros(2), np.zeros((2, 1)), np.ones((2, 1)))
    for targets in ([], [np.zeros((3, 1))], [np.full((2, 1), np.nan)]):
        with pytest.raises(InputError):
            summarize([forecast], targets)
    with pytest.raises(InputError):
        crps_samples(np.zeros((1, 2)), np.zeros(2))
