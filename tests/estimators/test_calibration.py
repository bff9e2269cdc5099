"""Conformal calibration: the width follows what past forecasts missed, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.data import Series
from isocline.estimators.calibration import (
    FEWEST,
    NARROWEST,
    WIDEST,
    Calibration,
    outcomes,
    widened,
)
from isocline.evaluation.forecast import Forecast

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def calibration(ratios, *, times=None, cases=None):
    ratios = np.asarray(ratios, float)
    numbers = np.arange(len(ratios))
    return Calibration(
        np.asarray(numbers if times is None else times, float),
        ratios,
        numbers if cases is None else np.asarray(cases),
    )


def normal(times, std, mean=0.0):
    times = np.asarray(times, float)
    shape = (len(times), 1)
    return Forecast.from_gaussian(times, np.full(shape, mean), np.full(shape, std))


def past(sigma, count=400, seed=0):
    """Forecasts of std 1 of what in truth has another one, and what was observed."""
    random = np.random.default_rng(seed)
    times = np.arange(1, 6.0)
    forecasts = [normal(times + 5 * k, 1.0) for k in range(count)]
    targets = [Series("a", one.times, sigma * random.normal(size=(5, 1))) for one in forecasts]
    return forecasts, targets


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_the_width_is_the_factor_that_the_forecasts_were_wrong_by(sigma):
    """Too narrow intervals are widened, too wide ones narrowed; then nine in ten hold."""
    known = outcomes(*past(sigma), horizon=5.0)
    width = known.width()
    assert width == pytest.approx(sigma, rel=0.12)
    fresh, truth = past(sigma, seed=1)
    inside = []
    for forecast, target in zip(fresh, truth):
        low, high = np.moveaxis(widened(forecast, width).at((0.05, 0.95)), -1, 0)
        inside.append((low <= target.values) & (target.values <= high))
    assert 0.89 <= np.mean(inside) <= 0.94


def test_few_outcomes_leave_the_width_of_the_model():
    assert calibration([9.0] * (FEWEST - 1)).width() == 1.0
    assert calibration([3.0] * FEWEST).width() == 3.0
    assert Calibration().width() == 1.0


def test_the_width_has_bounds():
    assert calibration([1e-9] * 50).width() == NARROWEST
    assert calibration([1e9] * 50).width() == WIDEST


def test_only_what_was_known_at_the_origin_counts():
    known = calibration([1.0] * 30 + [4.0] * 30)
    assert known.width(29.0) == 1.0
    assert known.width(28.0) == known.width(29.0)
    assert known.width(59.0) == known.width() == 4.0
    assert known.width(5.0) == 1.0


@given(st.integers(0, 100), st.integers(20, 300))
def test_the_width_is_on_the_safe_side_of_nine_in_ten(seed, count):
    """At least 90% of the outcomes fit in; the fewer the cases, the more of them."""
    ratios = np.random.default_rng(seed).uniform(0.6, 2.0, count)
    alone, together = calibration(ratios), calibration(ratios, cases=np.arange(count) // 10)
    assert np.mean(ratios <= alone.width()) >= 0.9
    assert together.width() >= alone.width()


def test_outcomes_are_the_factors_that_reach_what_was_observed():
    """By hand: 1.645 above a normal forecast of std 1 is 1, twice that 2; below it is the same."""
    tail = float(normal([0.0], 1.0).at((0.95,))[0, 0, 0])
    forecast = normal([1.0, 2.0, 3.0, 4.0], 1.0, mean=10.0)
    values = np.array([[10 + tail], [10 - 2 * tail], [np.nan], [10.0]])
    known = outcomes([forecast], [Series("a", forecast.times, values)], horizon=2.0)
    np.testing.assert_allclose(known.ratios, [1, 2, 0], atol=1e-12)
    np.testing.assert_array_equal(known.times, [1, 2, 4])
    late = outcomes([forecast], [Series("a", forecast.times, values)], 2.0, after=1.0)
    np.testing.assert_array_equal(late.times, [2, 4])


def test_a_case_is_one_series_within_one_horizon():
    forecasts = [normal([0.5, 1.5, 2.5], 1.0)] * 2
    targets = [Series(name, one.times, np.ones((3, 1))) for name, one in zip("ab", forecasts)]
    known = outcomes(forecasts, targets, horizon=2.0)
    assert len(set(known.cases.tolist())) == 4
    a, b = known.cases[:3], known.cases[3:]
    assert a[0] == a[1] != a[2] and b[0] == b[1] != b[2]
    whole = known.joined(known)
    assert len(whole.times) == len(whole.ratios) == len(whole.cases) == 12


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_widening_keeps_the_mean_and_the_order(width):
    forecast = normal([1.0, 2.0], 2.0, mean=7.0)
    wide = widened(forecast, width)
    np.testing.assert_array_equal(wide.mean, forecast.mean)
    assert (np.diff(wide.at(LEVELS), axis=-1) > 0).all()
    np.testing.assert_allclose(wide.quantiles - 7, width * (forecast.quantiles - 7), rtol=1e-12)
