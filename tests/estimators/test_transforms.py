"""Logarithms where values grow by factors, and nowhere else; forecasts come back in their units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocline.data import Series, SeriesTable, candidate_periods
from isocline.data.table import Columns, TimeAxis
from isocline.estimators.preparing import Scaling
from isocline.estimators.transforms import Transform, choose_transforms, transformed
from isocline.estimators.windows import Shape, window_at


def table(*columns):
    values = np.stack(columns, axis=1).astype(float)
    names = tuple(f"c{k}" for k in range(values.shape[1]))
    one = Series("", np.arange(len(values), dtype=float), values)
    return SeriesTable((one,), names, TimeAxis("number"), Columns("time", None, names))


def walk(seed=0, count=300):
    return np.cumsum(np.random.default_rng(seed).normal(size=count))


def test_an_epidemic_gets_a_logarithm_and_a_temperature_none():
    counts = np.round(100 * np.exp(0.3 * walk()))
    warm = 25 + walk(1) / 5
    chosen = choose_transforms(table(counts + 1, warm, warm - 30))
    assert [one.shift is not None for one in chosen] == [True, False, False]


@pytest.mark.parametrize(
    "column",
    [
        np.exp(0.3 * walk()) * (np.arange(300) % 3 > 0),  # many zeros
        np.exp(0.3 * walk()) - 1,  # negative values
        np.full(300, np.nan),
        np.zeros(300),
        np.exp(walk(count=300)) * np.where(np.arange(300) < 5, 1, np.nan),  # too few
    ],
)
def test_columns_that_have_no_logarithm_stay_as_they_are(column):
    assert choose_transforms(table(column)) == (Transform(),)


@given(st.floats(1e-3, 1e3), st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_there_and_back(shift, values):
    transform = Transform(shift)
    values = np.array(values)
    np.testing.assert_allclose(transform.inverse(transform.forward(values)), values, atol=1e-6)
    assert np.isfinite(transform.forward(np.array([-1e9, 0.0]))).all()
    assert np.isnan(transform.forward(np.array([np.nan]))).all()


def test_waves_of_an_epidemic_show_their_period_by_their_logarithm():
    """Some peaks are a hundred times as high as others: the counts themselves tell nothing."""
    weeks, random = np.arange(520.0), np.random.default_rng(2)
    heights = np.repeat(random.normal(0, 1.5, 10), 52)
    counts = np.exp(2.5 * np.sin(2 * np.pi * weeks / 52) + heights + 0.2 * random.normal(size=520))
    seen = table(1000 * counts)
    assert candidate_periods(seen) == ()
    [period] = candidate_periods(transformed(seen, choose_transforms(seen)))
    assert period == pytest.approx(52, rel=0.03)


def test_a_scaling_transforms_each_channel_on_its_own():
    data = table(np.exp(0.3 * walk()), 25 + walk(1))
    transforms = (Transform(0.5), Transform())
    scaling = Scaling((), 2, 10.0, {}, transforms).fitted(data)
    (one,) = data.series
    scaled = scaling.scaled(one)
    scale = scaling.scale_of(one)
    back = scaling.inverse(scaling.season(scale, one.times) + scaled * scale.spread)
    np.testing.assert_allclose(back, one.values, rtol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=0.05)


def test_a_window_of_a_new_series_has_the_scale_of_all_its_rows_up_to_the_origin():
    """Forecasts come back by that scale; what is observed later changes nothing."""
    values = np.linspace(0, 100, 60)  # its last rows alone have another mean and spread
    one = Series("new", np.arange(60.0), values[:, None])
    scaling = Scaling((), 2, 10.0, {}, ())
    context, _ = window_at(one, 49.0, one.between(49.0, 59.0), scaling, Shape(8, 4, 1))
    scale = scaling.scale_of(one.between(-np.inf, 49.0))
    back = scaling.season(scale, np.arange(42.0, 50.0)) + context["values"] * scale.spread
    np.testing.assert_allclose(back[:, 0], values[42:50])
