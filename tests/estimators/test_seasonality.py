"""A season has to show in turns of it that it was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import Series, SeriesTable
from isocline.data.table import Columns, TimeAxis
from isocline.estimators.preparing import RIDGE, Scaling
from isocline.estimators.seasonality import COARSE, FINEST, harmonics_shown

YEAR = 365.2425


def shown(times, values, period=YEAR, most=FINEST):
    """How many harmonics."""
    scaling = Scaling((period,), most, period, {})
    [waves] = scaling.waves(scaling.design(times))
    return harmonics_shown(times, values, waves, period, RIDGE)


def shows(times, values, period=YEAR):
    return shown(times, values, period, COARSE) > 0


def quarters(years):
    """Starts of quarters, which are 90 to 92 days apart."""
    count = 4 * years
    months = np.datetime64("1959-01") + 3 * np.arange(count)
    return months.astype("datetime64[D]").astype(float)


KINDS = {
    "noise": lambda noise, years: noise,
    "walk": lambda noise, years: np.cumsum(noise),
    "walk around a line": lambda noise, years: np.cumsum(noise) + 40 * years,
    "growth": lambda noise, years: 100 * np.exp(0.03 * years + 0.01 * np.cumsum(noise)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_season_rarely_shows_one(kind):
    """In an eighth of the cases by chance, as simulations say; a fit alone would find it in all."""
    times = quarters(40)
    years = (times - times[0]) / YEAR
    noises = np.random.default_rng(0).normal(size=(80, len(times)))
    assert np.mean([shows(times, KINDS[kind](noise, years)) for noise in noises]) < 0.25


@pytest.mark.parametrize("seed", range(5))
def test_a_season_shows_through_noise_gaps_and_a_walk(seed):
    random = np.random.default_rng(seed)
    times = np.sort(random.choice(5 * 365, 900, replace=False)).astype(float)
    season = np.cos(2 * np.pi * times / YEAR)
    assert shows(times, season + random.normal(size=len(times)))
    assert shows(times, 3 * season + 0.1 * np.cumsum(random.normal(size=len(times))))


def test_a_stray_row_long_before_does_not_hide_a_season():
    times = np.r_[0.0, 60 + np.arange(0, 10, 1 / 12)]
    noise = np.random.default_rng(0).normal(size=len(times))
    assert shows(times, 10 * np.cos(2 * np.pi * times) + noise, 1.0)


@pytest.mark.parametrize("rows", [0.7, 1.4, 3.0])
def test_a_season_of_few_rows_a_period_shows(rows):
    times = np.sort(np.random.default_rng(0).uniform(0, 200 / rows, 200))
    noise = 0.3 * np.random.default_rng(1).normal(size=len(times))
    assert shows(times, np.cos(2 * np.pi * times) + noise, 1.0)


def test_two_years_can_not_contradict_a_season():
    times = np.arange(0, 2.2 * YEAR, 7.0)
    assert shows(times, np.random.default_rng(0).normal(size=len(times)))


def test_the_year_of_an_hourly_walk_is_judged_by_all_of_it():
    """Its latest 10,000 rows last a year and could not contradict one."""
    hours = np.arange(0, 10 * YEAR, 1 / 24)
    walks = np.random.default_rng(0).normal(size=(8, len(hours))).cumsum(axis=1)
    day = 20 * np.sin(2 * np.pi * hours)
    assert np.mean([shows(hours, walk + day) for walk in walks]) < 0.5
    assert shows(hours, walks[0] / 50 + day + 20 * np.cos(2 * np.pi * hours / YEAR))


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


def months(years):
    return (
        np.arange(np.datetime64("1980-01"), np.datetime64("1980-01") + 12 * years)
        .astype("datetime64[D]")
        .astype(float)
    )


def holidays(times):
    """One month in twelve is low, which two harmonics can not follow."""
    return np.where(np.round(12 * times / YEAR) % 12 == 8, -5.0, 0.0)


def test_a_season_is_as_fine_as_its_turns_foretell():
    times = months(20)
    noise = np.random.default_rng(0).normal(size=len(times))
    smooth = 5 * np.cos(2 * np.pi * times / YEAR)
    assert shown(times, holidays(times) + noise) > COARSE
    assert shown(times, smooth + noise) == COARSE
    assert shown(times, holidays(times) + noise, most=COARSE) in (0, COARSE)


def test_noise_and_walks_are_rarely_finely_seasonal():
    times = months(20)
    noises = np.random.default_rng(0).normal(size=(60, len(times)))
    found = [shown(times, noise) for noise in noises]
    found += [shown(times, np.cumsum(noise)) for noise in noises]
    assert np.mean(np.array(found) > COARSE) < 0.05


def test_few_rows_carry_few_harmonics():
    """Forty rows show five, and can carry four."""
    times = months(20)[:40]
    values = holidays(times) + 0.01 * np.random.default_rng(0).normal(size=40)
    assert shown(times, values) > 4
    series = Series("short", times, values[:, None])
    coefficients = Scaling((YEAR,), FINEST, YEAR, {}).scale_of(series).coefficients
    assert coefficients[2 * 4] and not coefficients[1 + 2 * 4 :].any()


def test_no_harmonics_are_taken_that_rows_so_far_apart_can_not_tell():
    """Between its rows a weekday's course stays a curve of three harmonics."""
    days = np.arange(150.0)
    course = np.array([3.0, 0.0, 1.0, -2.0, 0.5, 2.0, -4.0])
    noise = 0.05 * np.random.default_rng(0).normal(size=len(days))
    series = Series("week", days, (course[days.astype(int) % 7] + noise)[:, None])
    scaling = Scaling((7.0,), FINEST, 7.0, {})
    scale = scaling.scale_of(series)
    assert scale.coefficients[2 * 3] and not scale.coefficients[1 + 2 * 3 :].any()
    between = scaling.season(scale, days[:-1] + 0.5)
    assert np.abs(between).max() < 1.5 * np.abs(course).max()


def test_a_finely_sampled_sine_needs_few():
    times = np.arange(0, 40, 0.25)
    wave = np.sin(2 * np.pi * times + 0.3)
    noise = 0.01 * np.random.default_rng(0).normal(size=len(times))
    series = Series("sine", times, (wave + noise)[:, None])
    scaling = Scaling((1.0,), FINEST, 1.0, {})
    between = times[:-1] + 0.125
    found = scaling.season(scaling.scale_of(series), between)[:, 0]
    assert np.abs(found - np.sin(2 * np.pi * between + 0.3)).max() < 0.1


def test_a_season_that_training_found_grows_no_finer():
    times = months(20)
    values = 5 * np.cos(2 * np.pi * times / YEAR) + np.where(times > times[120], holidays(times), 0)
    values += 0.1 * np.random.default_rng(0).normal(size=len(times))
    table = table_of(Series("late", times, values[:, None]))
    trained = Scaling((YEAR,), FINEST, YEAR, {}).fitted(table.until(times[110]))
    before = trained.scales["late"].coefficients != 0
    assert before.sum() == 1 + 2 * COARSE
    assert ((trained.fitted(table).scales["late"].coefficients != 0) == before).all()
    fresh = Scaling((YEAR,), FINEST, YEAR, {}).fitted(table).scales["late"].coefficients
    assert np.count_nonzero(fresh) > before.sum()


def test_the_doubt_of_a_level_does_not_jump_where_folds_carry_fewer():
    random = np.random.default_rng(0)
    doubts = []
    for rows in (64, 68):
        times = months(20)[:rows]
        values = holidays(times) + 0.3 * random.normal(size=rows)
        scale = Scaling((YEAR,), FINEST, YEAR, {}).scale_of(Series("a", times, values[:, None]))
        doubts.append(scale.doubt[0, 0, 0])
    assert doubts[0] < 2 * doubts[1]


def table_of(series):
    return SeriesTable((series,), ("x",), TimeAxis("number"), Columns("time", None, ("x",)))


def two_halves(first, second):
    """A yearly season of such amplitudes in the first and in the last 100 quarters, and noise."""
    times = quarters(50)
    size = np.where(times < times[100], first, second)
    noise = 0.1 * np.random.default_rng(0).normal(size=len(times))
    series = Series("two", times, (size * np.sin(2 * np.pi * times / YEAR) + noise)[:, None])
    return table_of(series)


def test_a_season_that_training_found_stays():
    """More rows do not take it away, lest a model forecast what it was not trained on."""
    table = two_halves(0.3, -1.0)
    trained = Scaling((YEAR,), 2, YEAR, {}).fitted(table.until(table.series[0].times[99]))
    assert trained.scales["two"].coefficients[1:].any()
    [late] = table.series
    reversed_ = Series("two", late.times, -late.values)
    refined = trained.fitted(table.with_series([reversed_])).scales["two"].coefficients
    assert refined[1:].any() and not np.allclose(refined, trained.scales["two"].coefficients)


def test_a_season_that_few_rows_could_not_carry_is_found_later():
    table = two_halves(1.0, 1.0)
    trained = Scaling((YEAR,), 2, YEAR, {}).fitted(table.until(table.series[0].times[9]))
    assert not trained.scales["two"].coefficients[1:].any()
    refined = trained.fitted(table).scales["two"].coefficients
    assert np.abs(refined[1:]).max() == pytest.approx(1.0, abs=0.1)
