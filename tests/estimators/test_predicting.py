"""Fit, predict, backtest and score: what goes in, what comes out, and what depends on what."""

from __future__ import annotations

import jax
import numpy as np
import pandas
import polars
import pytest

from isocline.data import Series
from isocline.estimators import LatentODEForecaster
from isocline.estimators.calibration import Calibration

from .conftest import QUANTILES, TINY, ZONE, small_frame

pytestmark = pytest.mark.core
LATER = pandas.Timestamp("2017-08-01", tz=ZONE)


def weights(forecaster):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(forecaster.predictor_.model)]


def means(frame):
    return frame.set_index(["series", "channel", "time"])["mean"]


def test_a_forecast_is_a_long_frame_with_ordered_quantiles(fitted, frame):
    """One row a time, series and channel, after the last observation, in the file's time zone."""
    found = fitted.predict()
    assert isinstance(found, pandas.DataFrame)
    assert list(found.columns) == ["time", "series", "channel", "mean", *QUANTILES]
    assert set(found.series) == {"north", "south"} and set(found.channel) == {"level", "flow"}
    assert not found.duplicated(["time", "series", "channel"]).any()
    assert np.isfinite(found[["mean", *QUANTILES]].to_numpy()).all()
    assert (np.diff(found[QUANTILES].to_numpy(), axis=1) > 0).all()
    assert str(found.time.dt.tz) == ZONE
    for name, part in found.groupby("series"):
        last = frame.date[frame.station == name].max()
        assert last < part.time.min() and part.time.max() <= last + pandas.Timedelta(days=61)


def test_forecasts_are_in_the_units_and_near_the_level_of_each_channel(fitted, frame):
    """Even two epochs leave level and season in place: they are fitted by least squares."""
    found = fitted.predict()
    for channel in ("level", "flow"):
        part = found[found.channel == channel]
        low, high = frame[channel].min(), frame[channel].max()
        assert part["mean"].between(low - 3, high + 3).all()
    assert found[found.channel == "level"]["mean"].mean() > 6
    assert found[found.channel == "flow"]["mean"].mean() < 6.5


@pytest.mark.parametrize(
    "asked",
    [
        [LATER],
        pandas.Series([LATER]),
        pandas.DatetimeIndex([LATER]),
        [LATER.to_pydatetime()],
        LATER.isoformat(),
        np.array(["2017-07-31T22:00"], "M8[m]"),  # no zone: UTC
        pandas.DataFrame({"date": [LATER]}),
        pandas.DataFrame({"date": [LATER, LATER], "station": ["south", "north"]}),
        polars.DataFrame({"date": [LATER.isoformat()]}),
    ],
)
def test_times_may_be_asked_in_any_form(fitted, asked):
    found = fitted.predict(asked)
    assert len(found) == 4 and (found.time == LATER).all()
    assert str(found.time.dt.tz) == ZONE
    pandas.testing.assert_frame_equal(found, fitted.predict([LATER]))


def test_each_series_may_have_its_own_times(fitted):
    asked = pandas.DataFrame({"date": [LATER, LATER + pandas.Timedelta(days=9)]})
    found = fitted.predict(asked.assign(station=["north", "south"]))
    assert set(zip(found.series, found.time)) == set(zip(["north", "south"], asked.date))
    only = fitted.predict(asked.assign(station="south"))
    assert set(only.series) == {"south"}


def test_a_time_has_one_forecast_whatever_is_asked_beside_it(fitted):
    """The trajectory is one: asking other times, repeats or another order changes nothing."""
    days = [LATER + pandas.Timedelta(days=k) for k in (20, 0, 5, 0)]
    found, alone = fitted.predict(days), fitted.predict([LATER])
    assert len(found) == 3 * 4
    assert found.groupby(["series", "channel"]).time.is_monotonic_increasing.all()
    at = found[found.time == LATER]
    np.testing.assert_allclose(means(at), means(alone)[means(at).index], rtol=1e-3)


def test_a_series_is_forecast_from_its_own_rows_alone(fitted, frame):
    """Newer rows of one series change its forecast, and not that of the other."""
    row = {"date": pandas.Timestamp("2017-07-01", tz=ZONE), "station": "north", "level": 30.0}
    newer = pandas.concat([frame, pandas.DataFrame([row])], ignore_index=True)
    before, after = means(fitted.predict([LATER])), means(fitted.predict([LATER], data=newer))
    change = (after - before).abs().groupby("series").max()
    assert change["north"] > 1e-3 and change["south"] < 1e-5


def test_unknown_series_are_scaled_by_their_own_rows(fitted):
    """A station that was not there in training, at a hundred times the level."""
    frame = small_frame(seed=3).query("station == 'north'")
    new = frame.assign(station="far", level=100 * frame.level)
    found = fitted.predict(data=new)
    assert set(found.series) == {"far"}
    level = found[found.channel == "level"]
    assert level["mean"].between(300, 1800).all()


def test_a_forecast_of_a_series_is_the_row_of_the_frame(fitted):
    """`forecast` speaks arrays on the time axis, `predict` frames; what they say is the same.

    Not to the bit: the random draws of a forecast depend on how many are made at once.
    """
    found = fitted.predict([LATER])
    series = fitted.table_.series[1]
    one = fitted.forecast(series, fitted.table_.axis.to_number([LATER]))
    assert one.mean.shape == (1, 2)
    rows = found[found.series == "south"]
    width = (rows.q95 - rows.q05).to_numpy()
    assert (np.abs(one.mean[0] - rows["mean"]) < 0.05 * width).all()
    assert (np.abs(one.at((0.05,))[0, :, 0] - rows.q05) < 0.1 * width).all()


def test_calibration_is_applied_to_the_intervals(fitted):
    """Outcomes that were missed by far make wider intervals around the same mean."""
    from dataclasses import replace

    series = fitted.table_.series[0]
    times = series.times[-1] + np.array([10.0, 30.0])

    def spread(ratio):
        numbers = np.arange(50)
        outcomes = Calibration.of_outer(np.zeros(50), np.full(50, ratio), numbers)
        return replace(fitted.predictor_, calibration=outcomes).forecast(series, times)

    narrow, wide = spread(0.8), spread(2.4)
    np.testing.assert_array_equal(narrow.mean, wide.mean)
    spread = [np.diff(one.at((0.05, 0.5, 0.95)), axis=-1) for one in (narrow, wide)]
    np.testing.assert_allclose(spread[1] / spread[0], 3.0, rtol=1e-6)


def test_calibration_knows_outcomes_after_the_training_rows_alone(fitted):
    known = fitted.predictor_.calibration
    assert len(known.times) == len(known.ratios) == len(known.cases) > 20
    assert known.times.min() > fitted.split_.train_end
    assert (known.ratios >= 0).all()


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(fitted, frame):
    again = LatentODEForecaster(**TINY).fit(frame.copy())
    for one, other in zip(weights(fitted), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    pandas.testing.assert_frame_equal(again.predict(), fitted.predict())
    assert [row["loss"] for row in again.history_] == [row["loss"] for row in fitted.history_]
    other = LatentODEForecaster(**TINY | {"seed": 1, "epochs": 1}).fit(frame)
    assert any((a != b).any() for a, b in zip(weights(fitted), weights(other)))


def test_polars_and_a_table_fit_like_pandas(fitted, frame, monkeypatch):
    """They are the same table before anything is trained."""
    from isocline.estimators.forecaster import as_table

    # Column by column: polars.from_pandas needs pyarrow for times with a zone.
    naive = frame.date.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    dates = polars.Series(naive).dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE)
    same = polars.DataFrame({name: frame[name].tolist() for name in frame if name != "date"})
    same = same.insert_column(0, dates.alias("date"))
    for data in (same, as_table(frame)):
        table = as_table(data)
        assert table.channels == fitted.table_.channels and table.axis == fitted.table_.axis
        for one, other in zip(table.series, fitted.table_.series, strict=True):
            np.testing.assert_array_equal(one.times, other.times)
            np.testing.assert_array_equal(one.values, other.values)
    pandas.testing.assert_frame_equal(fitted.predict(data=same), fitted.predict())


def test_latent_paths_reach_over_the_horizon(fitted):
    paths = fitted.latent(points=7)
    assert set(paths) == {"north", "south"}
    for one in fitted.table_.series:
        times, path = paths[one.name]
        assert path.shape == (7, TINY["latent_size"]) and np.isfinite(path).all()
        np.testing.assert_allclose(times[[0, -1]], one.times[-1] + np.array([0, 60.0]))


def test_history_says_how_training_went(fitted):
    assert [row["epoch"] for row in fitted.history_] == [1, 2]
    assert fitted.best_epoch_ in (1, 2)
    assert fitted.nfe_ > 0
    assert all(np.isfinite(row["validation"]) for row in fitted.history_)


def test_a_row_without_values_says_nothing(fitted):
    """It leaves the forecast where it was; the same row with a value does not."""
    series = fitted.table_.series[0]
    # Few rows, so that the new one pushes none out of what the encoder reads.
    short = Series(series.name, series.times[-10:], series.values[-10:])
    origin = float(short.times[-1]) + 5
    asked = np.array([origin + 15.0])

    def forecast(*row):
        values = np.vstack([short.values, *(np.array(cells, float)[None] for cells in row)])
        times = np.append(short.times, [origin] * len(row))
        # One at a time: the draws depend on the place in a batch.
        return fitted.predictor_.forecasts([(Series("north", times, values), origin, asked)])[0]

    before, blank, seen = forecast(), forecast([np.nan, np.nan]), forecast([30.0, np.nan])
    moved = np.abs(blank.mean - before.mean).max()
    assert moved < 1e-3
    assert np.abs(seen.mean - before.mean).max() > 10 * moved
