"""What training rows decide before anything is fitted: how fine seasons are, and logarithms."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import Series, SeriesTable
from isocline.data.table import Columns, TimeAxis
from isocline.estimators.first_look import first_look
from isocline.estimators.seasonality import COARSE
from isocline.estimators.transforms import Transform

YEAR = 365.2425
MONTHS = (
    np.arange("1980-01", "2000-01", dtype="datetime64[M]").astype("datetime64[D]").astype(float)
)
PHASE = 2 * np.pi * MONTHS / YEAR
HOLIDAYS = np.where(np.round(12 * MONTHS / YEAR) % 12 == 8, -5.0, 0.0)


def table_of(*columns):
    names = tuple(f"x{k}" for k in range(len(columns)))
    series = Series("sales", MONTHS, np.stack(columns, axis=1))
    return SeriesTable((series,), names, TimeAxis("number"), Columns("time", None, names))


def noise(seed):
    return np.random.default_rng(seed).normal(size=len(MONTHS))


def test_a_table_has_as_many_harmonics_as_a_channel_shows():
    smooth, fine = 5 * np.cos(PHASE) + noise(0), HOLIDAYS + noise(1)
    assert first_look(table_of(smooth), YEAR, periods=(YEAR,)).harmonics == COARSE
    table = table_of(smooth, fine)
    scaling = first_look(table, YEAR, periods=(YEAR,))
    assert scaling.harmonics > COARSE
    coefficients = scaling.fitted(table).scales["sales"].coefficients
    # The smooth channel keeps its few.
    assert not coefficients[1 + 2 * COARSE :, 0].any()
    assert coefficients[1 + 2 * COARSE, 1]


def test_a_table_without_periods_has_the_usual_harmonics():
    scaling = first_look(table_of(noise(0)), YEAR, periods=())
    assert scaling.periods == () and scaling.harmonics == COARSE


@pytest.mark.parametrize("zeros", [False, True])
def test_a_season_that_grows_with_its_level_is_seen_in_logarithms(zeros):
    """Nine times as many passengers in the end, and in summer a quarter more than in winter."""
    level = 100 * np.exp(np.linspace(0, 2.2, len(MONTHS)))
    grows = level * (1 + 0.25 * np.cos(PHASE) + 0.02 * noise(0))
    steady = level + 25 * np.cos(PHASE) + 2 * noise(0)
    if zeros:
        grows[3] = 0.0
    scaling = first_look(table_of(grows, steady, steady - 300), YEAR, periods=(YEAR,))
    assert scaling.transforms[0] != Transform()
    assert scaling.transforms[1:] == (Transform(), Transform())
    assert first_look(table_of(grows), YEAR, transform="none").transforms == ()


def test_seasons_that_are_asked_for_are_kept():
    assert first_look(table_of(noise(0)), YEAR, periods=[7]).periods == (7.0,)


def test_noise_has_no_fine_season_in_any_of_many_channels():
    noises = np.random.default_rng(0).normal(size=(40, len(MONTHS)))
    assert first_look(table_of(*noises), YEAR, periods=(YEAR,)).harmonics == COARSE


def test_what_one_series_can_not_say_others_do():
    """Two short ones, which say nothing, a flat one, and one of twenty years."""
    columns = HOLIDAYS + noise(0)
    long = Series("long", MONTHS, columns[:, None])
    short = [Series(f"short{n}", MONTHS[:n], columns[:n, None]) for n in (1, 5)]
    flat = Series("flat", MONTHS, np.ones((len(MONTHS), 1)))
    table = SeriesTable(
        (long, *short, flat), ("x",), TimeAxis("number"), Columns("time", "series", ("x",))
    )
    assert first_look(table, YEAR, periods=(YEAR,)).harmonics > COARSE
    alone = table.with_series([*short, flat])
    assert first_look(alone, YEAR, periods=(YEAR,)).harmonics == COARSE
