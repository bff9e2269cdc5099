"""Cross-validation in time: what is known at a cut-off, what is scored, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from isocline.data import SeriesTable
from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster
from isocline.estimators.cross_validation import _check, chosen_cutoffs
from isocline.evaluation.scores import rmse

from .conftest import QUANTILES, TINY, small_frame

BASELINES = ["persistence", "seasonal_naive", "climatology", "linear", "gru"]
SCORES = ["rmse", "mae", "crps", "coverage_50", "coverage_90"]


def dates(forecaster, *numbers):
    return forecaster.table_.axis.to_label(np.array(numbers))


@pytest.fixture(scope="module")
def crossed(scored):
    """The shared forecaster, two cut-offs of its test part, and its cross-validation."""
    forecaster, _ = scored
    end = forecaster.table_.span[1]
    cutoffs = dates(forecaster, end - 120, end - 61)
    return forecaster, cutoffs, forecaster.cross_validation(cutoffs=cutoffs)


def test_the_frame_has_a_row_a_forecast(crossed):
    _, cutoffs, found = crossed
    frame = found.frame
    assert list(frame.columns) == [
        *("cutoff", "time", "series", "channel", "observed", "mean"),
        *QUANTILES,
        *BASELINES,
    ]
    assert not frame.duplicated(["cutoff", "time", "series", "channel"]).any()
    ahead = frame.time - frame.cutoff
    assert (ahead > pandas.Timedelta(0)).all() and (ahead <= pandas.Timedelta(days=60)).all()
    found_at = pandas.to_datetime(frame.cutoff.unique()).tz_convert("UTC").tz_localize(None)
    np.testing.assert_array_equal(found_at.to_numpy(), pandas.to_datetime(cutoffs).to_numpy())


def test_scores_are_those_of_the_frame_at_each_cutoff_and_overall(crossed):
    _, cutoffs, found = crossed
    assert list(found.scores.columns) == ["cutoff", "model", "windows", *SCORES]
    assert len(found.scores) == len(cutoffs) * (1 + len(BASELINES))
    rows = found.frame[found.frame.observed.notna()]
    for (cutoff, model), scores in found.scores.set_index(["cutoff", "model"]).iterrows():
        part = rows[rows.cutoff == cutoff]
        column = "mean" if model == "model" else model
        assert scores.rmse == pytest.approx(rmse(part[column].to_numpy(), part.observed.to_numpy()))
    overall = rmse(rows["mean"].to_numpy(), rows.observed.to_numpy())
    assert found.metrics["model"]["rmse"] == pytest.approx(overall)
    assert set(found.metrics["baselines"]) == set(BASELINES)
    assert found.metrics["refit"] is False and len(found.metrics["cutoffs"]) == 2


def test_count_and_step_end_a_horizon_before_the_end(crossed):
    forecaster, _, _ = crossed
    found = forecaster.cross_validation(count=3, step=15, horizon=30)
    end = forecaster.table_.span[1]
    np.testing.assert_array_equal(
        np.array(found.metrics["cutoffs"], "datetime64[s]"),
        dates(forecaster, end - 60, end - 45, end - 30),
    )
    assert found.metrics["horizon"] == 30


@pytest.mark.slow
def test_without_a_count_there_are_as_many_as_follow_what_the_model_has_seen(crossed):
    forecaster, _, _ = crossed
    end, known = forecaster.table_.span[1], forecaster.split_.validation_end
    for horizon in (50.0, 60.0):
        expected = min(int((end - horizon - known) / horizon) + 1, 5)
        found = forecaster.cross_validation(horizon=horizon).metrics["cutoffs"]
        assert len(found) == expected and expected < 5
    assert len(forecaster.cross_validation(horizon=20.0).metrics["cutoffs"]) == 5


@pytest.mark.parametrize("start", ["1949-01-01", "2016-01-01"])
def test_the_last_cutoff_that_count_gives_is_not_too_late(start):
    """Before 1970 times are negative numbers."""
    rows = pandas.DataFrame({"date": pandas.date_range(start, periods=144, freq="MS")})
    table = SeriesTable.from_frame(rows.assign(x=np.sin(np.arange(144.0))))
    horizon = (table.span[1] - table.span[0]) / 10
    cutoffs = chosen_cutoffs(table, None, 2, None, horizon, earliest=table.span[0])
    _check(table, cutoffs, horizon)
    with pytest.raises(InputError, match="too close to the end"):
        _check(table, cutoffs + 0.01 * horizon, horizon)


def test_without_refitting_the_forecasts_are_those_of_the_model(crossed):
    """From a cut-off among the backtest's origins, the very same numbers."""
    forecaster, _, _ = crossed
    origin = float(forecaster.split_.origins[3])
    frame = forecaster.cross_validation(cutoffs=[dates(forecaster, origin)[0]], horizon=20).frame
    series = forecaster.table_.series[0]
    asked = series.between(origin, origin + 20).times
    alone = forecaster.predictor_.forecasts([(series.between(-np.inf, origin), origin, asked)])[0]
    mine = frame[frame.series == series.name].pivot(index="time", columns="channel", values="mean")
    np.testing.assert_allclose(mine["level"], alone.mean[:, 0], rtol=0.05)


@pytest.mark.slow
def test_refitted_models_know_nothing_after_their_cutoff(frame):
    """Other values after the cut-off change what was observed, and no forecast."""
    forecaster = LatentODEForecaster(**TINY | {"epochs": 1}).fit(frame)
    cutoff = pandas.Timestamp("2016-12-01", tz=frame.date.dt.tz)
    later = frame.date > cutoff
    other = frame.assign(level=frame.level.where(~later, frame.level + 100))
    options = {"cutoffs": [cutoff], "refit": True, "horizon": 50}
    honest = forecaster.cross_validation(**options)
    fooled = forecaster.cross_validation(other, **options)
    columns = ["mean", *QUANTILES, *BASELINES]
    pandas.testing.assert_frame_equal(honest.frame[columns], fooled.frame[columns])
    assert not honest.frame.observed.equals(fooled.frame.observed)
    assert honest.metrics["refit"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cutoffs": ["2016-01-01"]}, "has seen.*refit=True"),
        ({"cutoffs": ["2030-01-01"]}, "2030-01-01 lies outside of the data.*2017"),
        ({"cutoffs": ["1999-01-01"], "refit": True}, "outside of the data"),
        ({"cutoffs": ["2017-06-01"]}, "2017-06-01 is too close to the end.*at the latest"),
        ({"cutoffs": ["2017-02-01"], "horizon": 90}, "longer than the model's"),
        ({"cutoffs": ["2017-02-01"], "horizon": -1}, "horizon.*positive"),
        ({"cutoffs": ["2017-02-01"], "count": 3}, "cutoffs, or count and step"),
        ({"cutoffs": []}, "cutoffs is empty"),
        ({"count": 0}, "count=0"),
        ({"count": 2, "step": 0.0}, "step=0"),
        ({"count": "3"}, "count='3' must be a whole number"),
        ({"count": 2.5}, "count=2.5 must be a whole number"),
        ({"step": "90d"}, r"step='90d' must be a positive number, in units of .*\(days\)"),
        ({"cutoffs": [3.5]}, "datetimes"),
        ({"cutoffs": ["2015-02-01"], "refit": True}, "can not be refitted.*2015-02-01"),
    ],
)
def test_cutoffs_that_can_not_be_scored_are_refused(fitted, options, words):
    with pytest.raises(InputError, match=words):
        fitted.cross_validation(**options)


def test_other_series_may_be_cut_anywhere(scored):
    """A model has seen nothing of a series that it was not fitted to."""
    forecaster, _ = scored
    frame = small_frame(seed=5).query("station == 'north'").assign(station="far")
    found = forecaster.cross_validation(frame, cutoffs=["2016-01-01"])
    assert set(found.frame.series) == {"far"} and np.isfinite(found.metrics["model"]["rmse"])
