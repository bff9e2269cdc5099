"""The backtest: the same windows for all, honest about time; the cost of deletion."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from isocline.errors import InputError
from isocline.evaluation.scores import rmse

from .conftest import QUANTILES, TINY, ZONE, small_frame

pytestmark = pytest.mark.core
SCORES = {"rmse", "mae", "crps", "coverage_50", "coverage_90"}


def test_metrics_are_those_of_the_frame(scored):
    """RMSE, MAE and coverage, computed again from the rows that it gives."""
    _, backtest = scored
    rows = backtest.frame[backtest.frame.observed.notna()]
    model = backtest.metrics["model"]
    missed = rows["mean"] - rows.observed
    assert set(model) == SCORES
    assert model["rmse"] == pytest.approx(rmse(rows["mean"].to_numpy(), rows.observed.to_numpy()))
    assert model["rmse"] == pytest.approx(np.sqrt(np.mean(missed**2)))
    assert model["mae"] == pytest.approx(np.mean(np.abs(missed)))
    inside = (rows.q05 <= rows.observed) & (rows.observed <= rows.q95)
    assert model["coverage_90"] == pytest.approx(inside.mean())
    assert (np.diff(rows[QUANTILES].to_numpy(), axis=1) > 0).all()


def test_baselines_and_channels_are_scored_too(scored):
    _, backtest = scored
    baselines = backtest.metrics["baselines"]
    assert set(baselines) == {"persistence", "seasonal_naive", "climatology", "linear", "gru"}
    for scores in [*baselines.values(), *backtest.metrics["channels"].values()]:
        assert set(scores) == SCORES and all(map(np.isfinite, scores.values()))
    assert set(backtest.metrics["channels"]) == {"level", "flow"}
    assert backtest.metrics["horizon"] == TINY["horizon"]


def test_the_frame_holds_what_the_baselines_said(scored):
    """So that the report can show them by lead time."""
    _, backtest = scored
    rows = backtest.frame[backtest.frame.observed.notna()]
    for name, scores in backtest.metrics["baselines"].items():
        assert rmse(rows[name].to_numpy(), rows.observed.to_numpy()) == pytest.approx(
            scores["rmse"]
        )


def test_no_window_reaches_back_or_beyond_the_horizon(scored, frame):
    """Origins lie in the last fifth; targets follow within one horizon, in the file's zone."""
    forecaster, backtest = scored
    rows = backtest.frame
    ahead = rows.time - rows.origin
    assert (ahead > pandas.Timedelta(0)).all()
    assert (ahead <= pandas.Timedelta(days=TINY["horizon"])).all()
    assert str(rows.time.dt.tz) == str(rows.origin.dt.tz) == ZONE
    first = forecaster.table_.axis.to_number([rows.origin.min()])[0]
    assert first >= forecaster.split_.validation_end - 1e-4
    known = frame.melt(["date", "station"], ["level", "flow"], "channel", "value")
    merged = rows.merge(
        known, left_on=["time", "series", "channel"], right_on=["date", "station", "channel"]
    )
    assert len(merged) == len(rows)
    np.testing.assert_array_equal(merged.observed, merged.value)


@pytest.mark.slow
def test_a_forecast_of_the_backtest_does_not_see_its_targets(scored):
    """Other values after the origin leave the forecast as it was."""
    from isocline.data import Series

    forecaster, _ = scored
    origin = float(forecaster.split_.origins[0])
    series = forecaster.table_.series[0]
    later = series.times > origin
    changed = Series(series.name, series.times, np.where(later[:, None], 1e3, series.values))
    asked = series.times[later][:3]
    honest = forecaster.predictor_.forecasts([(series, origin, asked)])[0]
    fooled = forecaster.predictor_.forecasts([(changed, origin, asked)])[0]
    np.testing.assert_array_equal(fooled.mean, honest.mean)
    np.testing.assert_array_equal(fooled.quantiles, honest.quantiles)


def test_score_is_minus_the_crps(scored):
    forecaster, backtest = scored
    assert forecaster.score() == pytest.approx(-backtest.metrics["model"]["crps"])


@pytest.mark.slow
def test_other_data_may_be_scored(scored):
    forecaster, backtest = scored
    score = forecaster.score(small_frame(seed=4))
    assert np.isfinite(score) and score < 0
    assert score != pytest.approx(-backtest.metrics["model"]["crps"], rel=1e-6)


def test_robustness_has_a_row_for_each_share(scored):
    """Nothing deleted is the backtest itself; the same seed deletes the same."""
    forecaster, backtest = scored
    rows = forecaster.robustness((0.3, 0.9), repeats=2)
    assert [row["deleted"] for row in rows] == [0.0, 0.3, 0.9]
    assert rows[0]["rmse"] == pytest.approx(backtest.metrics["model"]["rmse"], rel=1e-6)
    assert rows[0]["increase"] == rows[0]["spread"] == 0
    for row in rows[1:]:
        assert row["rmse"] != rows[0]["rmse"] and row["spread"] > 0
        assert row["increase"] == pytest.approx(row["rmse"] / rows[0]["rmse"] - 1)
    assert forecaster.robustness((0.3, 0.9), repeats=2) == rows


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, float("nan")])
def test_a_share_that_can_not_be_deleted_is_refused(fitted, fraction):
    with pytest.raises(InputError, match="fraction"):
        fitted.robustness((fraction,))


def test_repeats_must_be_one_at_least(fitted):
    with pytest.raises(InputError, match="repeats"):
        fitted.robustness((0.5,), repeats=0)
