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
    return Calibration.of_outer(
        np.asarray(numbers if times is None else times, float),
        ratios,
        numbers if cases is None else np.asarray(cases),
    )


def both(factor, channels=1):
    """The same factor everywhere."""
    return np.full((channels, 2, 2), float(factor))


def share(forecasts, targets, low, high):
    """Of what was observed between two levels."""
    bounds = [one.at((low, high)) for one in forecasts]
    inside = [
        (bound[..., 0] <= target.values) & (target.values <= bound[..., 1])
        for bound, target in zip(bounds, targets, strict=True)
    ]
    return np.mean(inside)


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
    wide = [widened(one, known.factors(np.inf, 1)) for one in fresh]
    assert 0.89 <= share(wide, truth, 0.05, 0.95) <= 0.94
    assert 0.47 <= share(wide, truth, 0.25, 0.75) <= 0.53


def test_levels_have_factors_of_their_own():
    """What has heavy tails needs a narrower middle and a wider rest: both shares hold."""

    def heavy(seed):
        random = np.random.default_rng(seed)
        times = np.arange(1, 6.0)
        forecasts = [normal(times + 5 * k, 1.0) for k in range(400)]
        draws = random.standard_t(2, size=(400, 5, 1)) / 1.5
        return forecasts, [Series("a", f.times, y) for f, y in zip(forecasts, draws, strict=True)]

    known = outcomes(*heavy(0), horizon=5.0)
    inner, outer = known.factors(np.inf, 1).mean(axis=(0, 1))
    assert inner < 0.85 and outer > 1.1
    fresh, truth = heavy(1)
    wide = [widened(one, known.factors(np.inf, 1)) for one in fresh]
    assert 0.47 <= share(wide, truth, 0.25, 0.75) <= 0.53
    assert 0.88 <= share(wide, truth, 0.05, 0.95) <= 0.94


def test_sides_and_channels_have_factors_of_their_own():
    """Skewed outcomes of one channel leave the other channel's intervals as they should be."""
    random = np.random.default_rng(0)
    times = np.arange(1, 6.0)
    ones = np.ones((5, 2))
    forecasts = [Forecast.from_gaussian(times + 5 * k, 0 * ones, ones) for k in range(400)]
    draws = random.normal(size=(400, 5, 2))
    draws[..., 1] *= np.where(draws[..., 1] > 0, 3, 0.6)
    targets = [Series("a", f.times, y) for f, y in zip(forecasts, draws, strict=True)]
    factors = outcomes(forecasts, targets, horizon=5.0).factors(np.inf, 2)
    assert np.abs(factors[0] - 1).max() < 0.15
    assert factors[1, 1, 1] > 2.5 and factors[1, 0, 1] < 0.8


def test_few_cases_are_drawn_to_what_all_say():
    random = np.random.default_rng(1)
    count = 60
    ratios = random.uniform(0.5, 1.5, count)
    above = np.arange(count) < 30
    ratios[above] *= 3
    none = np.zeros(count, np.int64)
    few = Calibration(np.zeros(count), ratios, none, ratios, none, above)
    many = Calibration(np.zeros(count), ratios, np.arange(count), ratios, none, above)
    apart = [np.ptp(one.factors(0.0, 1)[0, :, 0]) for one in (few, many)]
    assert 0 < apart[0] < apart[1] / 2


def test_few_outcomes_leave_the_width_of_the_model():
    assert calibration([9.0] * (FEWEST - 1)).width() == 1.0
    assert calibration([3.0] * FEWEST).width() == 3.0
    assert Calibration().width() == 1.0


def test_long_after_all_outcomes_their_order_still_counts():
    """An hour's horizon and a forecast two years later: weights must not vanish."""
    ratios = np.repeat([1.0, 2.0], 40)
    found = calibration(ratios, times=np.arange(80.0))
    soon, late, later = (found.factors(origin, 1, memory=4.0) for origin in (80, 6000.0, 1e6))
    assert np.isfinite(late).all()
    np.testing.assert_allclose(late, soon)
    np.testing.assert_allclose(later, soon)


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
    middle = float(normal([0.0], 1.0).at((0.75,))[0, 0, 0])
    np.testing.assert_allclose(known.inner, [tail / middle, 2 * tail / middle, 0], atol=1e-12)
    np.testing.assert_array_equal(known.above, [True, False, True])
    np.testing.assert_array_equal(known.times, [1, 2, 4])
    values[0] = np.nan
    late = outcomes([forecast], [Series("a", forecast.times, values)], 2.0)
    np.testing.assert_array_equal(late.times, [2, 4])


def test_a_case_is_one_series_within_one_horizon():
    forecasts = [normal([0.5, 1.5, 2.5], 1.0)] * 2
    targets = [Series(name, one.times, np.ones((3, 1))) for name, one in zip("ab", forecasts)]
    known = outcomes(forecasts, targets, horizon=2.0)
    assert len(set(known.cases.tolist())) == 4
    a, b = known.cases[:3], known.cases[3:]
    assert a[0] == a[1] != a[2] and b[0] == b[1] != b[2]
    whole = known.joined(known)
    assert len(whole.times) == len(whole.inner) == len(whole.cases) == len(whole.above) == 12


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_widening_keeps_the_mean_and_the_order(width):
    forecast = normal([1.0, 2.0], 2.0, mean=7.0)
    wide = widened(forecast, both(width))
    np.testing.assert_array_equal(wide.mean, forecast.mean)
    assert (np.diff(wide.at(LEVELS), axis=-1) > 0).all()
    np.testing.assert_allclose(wide.quantiles - 7, width * (forecast.quantiles - 7), rtol=1e-12)


@given(st.lists(st.floats(0.5, 5), min_size=4, max_size=4))
def test_quantiles_stay_in_order_whatever_the_factors(numbers):
    """The median stays, and each interval holds the ones inside of it."""
    forecast = normal([1.0, 2.0], 2.0, mean=7.0)
    wide = widened(forecast, np.array(numbers).reshape(1, 2, 2))
    assert (np.diff(wide.quantiles, axis=-1) >= 0).all()
    np.testing.assert_allclose(wide.at((0.5,)), 7.0)
    tail = forecast.at((0.95,)) - 7
    outer = np.maximum(tail * numbers[3], (forecast.at((0.75,)) - 7) * numbers[2])
    assert (wide.at((0.95,)) - 7 >= outer - 1e-9).all()
