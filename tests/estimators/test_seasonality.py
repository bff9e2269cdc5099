"""A season has to show in turns of it that it was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import Series
from isocline.estimators.preparing import RIDGE, Scaling
from isocline.estimators.seasonality import season_shows

YEAR = 365.2425


def waves(times, period=YEAR):
    angles = 2 * np.pi * times[:, None] / period * np.array([1, 2])
    return np.hstack([np.cos(angles), np.sin(angles)])


def shows(times, values, period=YEAR):
    return season_shows(times, values, waves(times, period), period, RIDGE)


def quarters(years):
    """Starts of quarters, which are 90 to 92 days apart."""
    count = 4 * years
    months = np.datetime64("1959-01") + 3 * np.arange(count)
    return months.astype("datetime64[D]").astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_walks_and_growth_have_no_season(seed):
    random = np.random.default_rng(seed)
    times = quarters(40)
    walk = np.cumsum(random.normal(size=len(times)))
    assert not shows(times, walk)
    assert not shows(times, walk + 0.1 * (times - times[0]))
    assert not shows(times, 100 * np.exp(0.008 * (times - times[0]) / 91 + 0.01 * walk))


@pytest.mark.parametrize("seed", range(5))
def test_a_season_shows_through_noise_gaps_and_a_walk(seed):
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(5 * 365, 900, replace=False)).astype(float)
    season = np.cos(2 * np.pi * times / YEAR)
    assert shows(times, season + random.normal(size=len(times)))
    assert shows(times, 3 * season + 0.1 * np.cumsum(random.normal(size=len(times))))


def test_noise_rarely_shows_one():
    random = np.random.default_rng(0)
    times = np.arange(0, 8 * YEAR, 7.0)
    found = [shows(times, random.normal(size=len(times))) for _ in range(40)]
    assert np.mean(found) < 0.25


def test_two_years_can_not_contradict_a_season():
    times = np.arange(0, 2.2 * YEAR, 7.0)
    assert shows(times, np.random.default_rng(0).normal(size=len(times)))


def test_many_turns_of_a_fast_period_are_told_from_its_latest_rows():
    times = np.arange(60_000) / 24.0
    random = np.random.default_rng(0)
    noise = random.normal(size=len(times))
    assert shows(times, np.sin(2 * np.pi * times) + noise, 1.0)
    assert not shows(times, 0.01 * np.cumsum(noise) + 1e-3 * times**2, 1.0)


def test_a_channel_without_a_season_has_none_taken_off():
    times = quarters(40)
    season = np.sin(2 * np.pi * times / YEAR)
    growth = 0.002 * (times - times[0]) + 0.1 * np.random.default_rng(0).normal(size=len(times))
    series = Series("economy", times, np.stack([growth + season, growth], axis=1))
    scale = Scaling((YEAR,), 2, YEAR, {}).scale_of(series)
    assert np.abs(scale.coefficients[1:, 0]).max() == pytest.approx(1.0, abs=0.2)
    assert not scale.coefficients[1:, 1].any()
    assert not scale.doubt[1, 1:].any()
