"""Rolling origins never look ahead, and baselines do what they say, with honest intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.data import Columns, Series, SeriesTable, TimeAxis, load
from isocline.errors import InputError
from isocline.evaluation import (
    DENSE_LEVELS,
    Climatology,
    Persistence,
    SeasonalNaive,
    backtest,
    history_until,
    rolling_origins,
    targets_after,
)


def table_of(*series, channels=("y",)):
    return SeriesTable(tuple(series), channels, TimeAxis("number"), Columns("t", "id", channels))


def random_series(name, start, end, rows, seed, make=None):
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(start, end, rows))
    values = np.cumsum(random.standard_normal(rows)) if make is None else make(times, random)
    return Series(name, times, values[:, None])


@settings(max_examples=40, deadline=None)
@given(
    horizon=st.floats(1, 30),
    fraction=st.floats(0.1, 0.5),
    count=st.integers(1, 12),
    seed=st.integers(0, 20),
)
def test_origins_come_after_training_and_before_targets(horizon, fraction, count, seed):
    long = random_series("long", 0, 100, 150, seed)
    short = random_series("short", 60, 95, 60, seed + 1)
    table = table_of(long, short)
    split = rolling_origins(table, horizon, fraction, count)
    assert split.train_end < split.validation_end <= split.origins[0]
    assert 1 <= len(split.origins) <= count and (np.diff(split.origins) > 0).all()
    rows = np.concatenate([long.times, short.times])
    assert (rows > split.validation_end).mean() == pytest.approx(fraction, abs=0.02)
    for origin in split.origins:
        asked = [targets_after(one, origin, horizon) for one in table.series]
        assert sum(map(len, asked)) > 0
        for one, later in zip(table.series, asked):
            assert ((later.times > origin) & (later.times <= origin + horizon)).all()
            past = history_until(one, origin)
            assert len(past) == (one.times <= origin).sum()


def test_bad_splits_are_refused():
    table = table_of(random_series("a", 0, 10, 50, 0))
    for options in (
        {"horizon": 0},
        {"horizon": 1, "test_fraction": 0},
        {"horizon": 1, "test_fraction": 0.95},
        {"horizon": 1, "count": 0},
        {"horizon": 1e-9, "count": 1},
    ):
        with pytest.raises(InputError):
            rolling_origins(table, **options)


def test_persistence_carries_each_channel_on():
    values = np.array([[1, 5], [2, np.nan], [3, np.nan]])
    series = Series("a", np.arange(3.0), values)
    model = Persistence().fit(table_of(series, channels=("y", "z")))
    forecast = model.forecast(series, np.array([3.0, 9.0]))
    np.testing.assert_array_equal(forecast.mean, [[3, 5], [3, 5]])


@given(shift=st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_seasonal_naive_repeats_the_last_period(shift):
    times = np.arange(40.0)
    wave = np.sin(2 * np.pi * times / 10)
    series = Series("a", times, wave[:, None])
    forecast = SeasonalNaive(10.0).fit(table_of(series)).forecast(series, np.array([39.0 + shift]))
    assert forecast.mean[0, 0] == pytest.approx(np.sin(2 * np.pi * (39 + shift) / 10), abs=1e-9)
    np.testing.assert_allclose(forecast.quantiles[0, 0], forecast.mean[0, 0], atol=1e-9)


def test_seasonal_naive_takes_the_nearest_of_the_past():
    series = Series("a", np.array([0.0, 1, 4, 9.9, 10]), np.arange(5.0)[:, None])
    model = SeasonalNaive(10.0).fit(table_of(series))
    forecast = model.forecast(series, np.array([10.4, 12.4, 12.6, 19.0, 20.0, 20.6]))
    np.testing.assert_array_equal(forecast.mean[:, 0], [0, 1, 2, 3, 4, 1])


def seasonal(times, random):
    return 20 + 3 * np.cos(2 * np.pi * times / 12 - 1) + 0.5 * random.standard_normal(len(times))


def test_climatology_finds_the_season_at_irregular_times():
    table = table_of(random_series("a", 0, 240, 300, 4, seasonal))
    model = Climatology(12.0).fit(table)
    times = np.linspace(241, 260, 50)
    forecast = model.forecast(table.series[0], times)
    truth = 20 + 3 * np.cos(2 * np.pi * times / 12 - 1)
    assert np.abs(forecast.mean[:, 0] - truth).max() < 0.35
    width = forecast.at([0.05, 0.95])[:, 0]
    np.testing.assert_allclose(width[:, 1] - width[:, 0], 2 * 1.645 * 0.5, rtol=0.2)
    level = Climatology(None).fit(table).forecast(table.series[0], times).mean
    np.testing.assert_allclose(level, table.series[0].values.mean())


def test_climatology_knows_nothing_but_its_training_rows():
    table = table_of(random_series("a", 0, 240, 300, 4, seasonal))
    model = Climatology(12.0).fit(table.until(120))
    times = np.array([200.0])
    spoilt = Series("a", table.series[0].times, table.series[0].values + 100)
    np.testing.assert_array_equal(
        model.forecast(spoilt, times).mean, model.forecast(table.series[0], times).mean
    )
    stranger = Series("b", spoilt.times, spoilt.values)
    assert model.forecast(stranger, times).mean[0, 0] > 100


def test_intervals_widen_with_the_lead_as_errors_do():
    table = table_of(*(random_series(name, 0, 400, 400, seed) for seed, name in enumerate("abc")))
    model = Persistence().fit(table, horizon=40)
    forecast = model.forecast(table.series[0], table.series[0].times[-1] + np.array([2.0, 32.0]))
    spread = forecast.at([0.05, 0.95])[:, 0]
    near, far = spread[:, 1] - spread[:, 0]
    # The errors of a random walk grow as the square root of the lead.
    assert 2.5 < far / near < 6


@pytest.mark.parametrize("model", [Persistence(), SeasonalNaive(12.0), Climatology(12.0)])
def test_intervals_cover_as_often_as_they_say(model):
    table = table_of(*(random_series(name, 0, 400, 600, ord(name), seasonal) for name in "abcd"))
    split = rolling_origins(table, 12.0)
    scores = backtest(model.fit(table.until(split.train_end), 12.0), table, split, 12.0)
    assert scores["coverage_50"] == pytest.approx(0.5, abs=0.08)
    assert scores["coverage_90"] == pytest.approx(0.9, abs=0.06)


def test_quantiles_never_cross():
    table = table_of(random_series("a", 0, 100, 200, 0), random_series("b", 50, 70, 20, 1))
    for model in (Persistence(), SeasonalNaive(9.0), Climatology(9.0)):
        model.fit(table)
        for one in table.series:
            forecast = model.forecast(one, one.times[-1] + np.linspace(0.1, 90, 30))
            assert forecast.quantiles.shape == (30, 1, len(DENSE_LEVELS))
            assert (np.diff(forecast.quantiles, axis=-1) >= -1e-12).all()


def test_misuse_is_refused():
    series = Series("a", np.arange(3.0), np.full((3, 1), np.nan))
    for model in (Persistence(), SeasonalNaive(2.0), Climatology(2.0)):
        with pytest.raises(InputError, match="not fitted"):
            model.forecast(series, np.array([4.0]))
    for period in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="period"):
            SeasonalNaive(period)
        with pytest.raises(InputError, match="period"):
            Climatology(period)


def test_a_channel_that_begins_late_is_not_compared_before_it_does():
    """A baseline has nothing to say there, and the scores of the other channel stand."""
    steady = np.sin(np.arange(40.0))
    late = np.where(np.arange(40) > 36, steady, np.nan)
    table = table_of(
        Series("a", np.arange(40.0), np.stack([steady, late], axis=1)), channels=("y", "z")
    )
    split = rolling_origins(table, 3.0)
    alone = table_of(Series("a", np.arange(40.0), steady[:, None]))
    fitted = Persistence().fit(table.until(split.train_end), 3.0)
    said = fitted.forecast(table.series[0].between(-1.0, 30.0), np.array([31.0, 32.0]))
    assert np.isnan(said.mean[:, 1]).all() and np.isfinite(said.mean[:, 0]).all()
    early = rolling_origins(alone, 3.0)
    scores = backtest(fitted, table, early, 3.0)
    expected = backtest(Persistence().fit(alone.until(split.train_end), 3.0), alone, early, 3.0)
    assert np.isfinite(list(scores.values())).all()
    assert scores["rmse"] == pytest.approx(expected["rmse"], rel=0.2)


def test_on_the_sea_surface_the_season_beats_persistence():
    table = load("sst")
    split = rolling_origins(table, 183.0)
    train = table.until(split.train_end)
    scores = {
        type(model).__name__: backtest(model.fit(train, 183.0), table, split, 183.0)
        for model in (Persistence(), SeasonalNaive(365.2425), Climatology(365.2425))
    }
    assert scores["Climatology"]["crps"] < scores["SeasonalNaive"]["crps"]
    assert scores["SeasonalNaive"]["crps"] < scores["Persistence"]["crps"]
    assert all(0.8 < score["coverage_90"] < 0.99 for score in scores.values())
