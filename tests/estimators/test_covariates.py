"""Covariates in the forecaster: they help where they must, nothing leaks, and faults are named."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest

from isocline.data import SeriesTable
from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster
from isocline.estimators.calendar import Calendar
from isocline.estimators.predicting import requests_at
from isocline.estimators.windows import gather_rows, sample_windows, stack_windows, window_at

from .conftest import TINY as SMALL
from .covariate_data import AHEAD, COLUMNS, DAYS, ROLES, START, driven_frame

TINY = SMALL | {"horizon": 8, "periods": (), "calendar": ("weekday", "hour")}
LEARNING = {
    "horizon": 8,
    "periods": (),
    "encoder": "rnn",
    "members": 1,
    "epochs": 24,
    "patience": None,
    "hidden_size": 16,
    "latent_size": 4,
    "batch_size": 32,
    "deletion": 0.9,
    "learning_rate": 1e-2,
    "linear": False,  # of the network alone is asked what covariates are worth
}
LAST = START + pandas.Timedelta(days=DAYS - 1)


def day(number: int) -> pandas.Timestamp:
    return START + pandas.Timedelta(days=number)


@pytest.fixture(scope="module")
def frame():
    return driven_frame(kinds=("rises", "falls"))


@pytest.fixture(scope="module")
def tiny(frame):
    """A forecaster with covariates of all kinds, hardly trained; nobody changes it."""
    return LatentODEForecaster(**TINY).fit(frame, **COLUMNS, **ROLES)


def observed(frame):
    """The rows that the roles would have, without their inputs."""
    return frame.dropna(subset=["level"])


def errors(forecaster, reach=8.0):
    """RMSE of each channel from all origins of the test, up to `reach` days ahead."""
    requests, targets = requests_at(forecaster.table_, forecaster.split_.origins, reach)
    made = forecaster.predictor_.forecasts(requests)
    missed = [one.mean - target.values for one, target in zip(made, targets, strict=True)]
    return np.sqrt(np.nanmean(np.concatenate(missed) ** 2, axis=0))


@pytest.fixture(scope="module")
def pushed():
    """The same series learnt without covariates, and with a plan and a gauge upstream."""
    frame = driven_frame(kinds=("rises", "rises"))
    roles = {name: ROLES[name] for name in ("known", "past")}
    without = LatentODEForecaster(**LEARNING).fit(observed(frame), **COLUMNS)
    return without, LatentODEForecaster(**LEARNING).fit(frame, **COLUMNS, **roles)


@pytest.mark.slow
def test_a_known_input_with_a_lag_beats_the_forecast_without_it(pushed):
    without, informed = map(errors, pushed)
    assert informed[0] < 0.5 * without[0]


@pytest.mark.slow
def test_a_reading_that_leads_the_target_beats_the_forecast_without_it(pushed):
    """Up to the lag the readings say all; later they say little."""
    without, informed = (errors(one, reach=3.0) for one in pushed)
    assert informed[1] < 0.7 * without[1]


@pytest.mark.slow
def test_a_planned_push_moves_the_forecast_after_it_and_not_before(pushed):
    _, informed = pushed
    days = [day(DAYS - 1 + ahead) for ahead in range(1, 9)]
    idle = pandas.DataFrame({"date": days, "plan": 0.0})
    acting = idle.assign(plan=np.where(idle.index == 3, 1.0, 0.0))  # on the fourth day
    moved = [
        informed.predict(days, future=plan).query("channel == 'level' and series == 'site 0'")
        for plan in (idle, acting)
    ]
    change = moved[1]["mean"].to_numpy() - moved[0]["mean"].to_numpy()
    assert np.abs(change[:3]).max() < 0.25
    # Half of the push of a day at its peak, the other half later: 2 * 0.5, and then decay.
    assert change[3] > 0.4 and change[4] > 0.7 and change[4] > change[7] > 0


@pytest.mark.slow
def test_static_columns_tell_series_apart_that_have_hardly_begun():
    """A plan pushes up or down; a single observation does not say which, the column does."""
    frame = driven_frame(kinds=("rises", "falls") * 2)
    roles = {"known": ROLES["known"]}
    found = []
    for more in ({}, {"static": ["kind", "size"]}):
        forecaster = LatentODEForecaster(**LEARNING).fit(frame, **COLUMNS, **roles, **more)
        missed = []
        for one in forecaster.table_.series:
            for start in range(110, 140, 6):
                asked = one.rows(slice(start + 1, start + 5))
                made = forecaster.forecast(one.rows(slice(start, start + 1)), asked.times)
                missed.append(made.mean[:, 0] - asked.values[:, 0])
        found.append(np.sqrt(np.nanmean(np.concatenate(missed) ** 2)))
    assert found[1] < 0.75 * found[0]


def test_nothing_after_an_origin_leaks_but_what_is_known_ahead(tiny, frame):
    """Later targets and readings are changed, and a forecast is not, to the bit."""
    origin = tiny.table_.axis.to_number([day(180)])[0]
    later = frame.date > day(180)

    def forecasts(changed):
        table = SeriesTable.from_frame(changed, **COLUMNS, **ROLES)
        histories = [one.between(-np.inf, origin) for one in table.series]
        times = origin + np.array([1.0, 4.0, 8.0])
        return [
            one.mean for one in tiny.predictor_.forecasts([(h, origin, times) for h in histories])
        ]

    before = forecasts(frame)
    for name in ("level", "flow", "upstream"):
        for one, other in zip(
            forecasts(frame.assign(**{name: frame[name].where(~later, -50)})), before
        ):
            np.testing.assert_array_equal(one, other)
        moved = forecasts(frame.assign(**{name: frame[name].where(later, -50)}))
        assert np.abs(moved[0] - before[0]).max() > 1e-4
    moved = forecasts(frame.assign(plan=frame.plan.where(~later, 1 - frame.plan)))
    assert np.abs(moved[0] - before[0]).max() > 1e-5


@pytest.mark.slow
def test_training_sees_the_windows_that_forecasts_see(tiny):
    """A window drawn on the device, and the same one made on the host for its origin."""
    scaling, table = tiny.predictor_.scaling, tiny.table_
    rows = gather_rows(table, scaling)
    shape = tiny.shape_._replace(batch=16)
    frequencies = jnp.asarray(scaling.frequencies, jnp.float32)
    still = rows._replace(doubt=jnp.zeros_like(rows.doubt))
    context, _ = sample_windows(still, frequencies, shape, 0.0, jax.random.key(4))
    ends = np.cumsum([len(one) for one in table.series])
    start = min(one.times[0] for one in table.series)
    starts = np.asarray(rows.times)
    widths = scaling.covariates.widths
    ahead = jnp.linspace(0.0, 1.0, 7)[None]
    found = np.asarray(context.exogenous.drive.along(jnp.tile(ahead, (16, 1)), widths))
    for index in range(16):
        # The newest row of the context says which one it is.
        newest = np.asarray(context.values[index, 0])
        match = np.isclose(np.asarray(rows.values), newest, atol=1e-6).all(axis=1)
        row = int(np.flatnonzero(match & np.asarray(rows.mask).all(axis=1) | match)[0])
        origin = start + scaling.horizon * (starts[row] - float(context.times[index, 0]))
        one = table.series[int(np.searchsorted(ends, row, side="right"))]
        asked = one.between(origin, origin + scaling.horizon)
        window = window_at(one, origin, asked, scaling, shape)
        host, _ = stack_windows([window], scaling.covariates)
        wanted = host.exogenous.drive.along(ahead, widths)[0]
        np.testing.assert_allclose(found[index], wanted, atol=2e-3)
        seen = np.asarray(context.exogenous.mask[index]).any(axis=1)
        np.testing.assert_allclose(
            np.sort(np.asarray(context.exogenous.values[index])[seen], axis=0),
            np.sort(np.asarray(host.exogenous.values[0])[: seen.sum()], axis=0),
            atol=2e-3,
        )
    np.testing.assert_array_equal(context.exogenous.grid[0], host.exogenous.grid[0])


def test_a_forecast_does_not_depend_on_what_else_is_asked(tiny, frame):
    """Nor on the plan after the last time; the steps of the solve stand where they stood."""
    days = [day(DAYS + 3), day(DAYS + 15)]
    alone, both = tiny.predict(days[:1]), tiny.predict(days)
    both = both[both.time == days[0]].reset_index(drop=True)
    assert np.allclose(alone["mean"], both["mean"], rtol=1e-5)


def test_the_future_may_come_with_the_data_or_in_a_frame_of_its_own(tiny, frame):
    kept = tiny.predict()
    future = frame.loc[frame.date > LAST, ["date", "site", "plan"]]
    named = tiny.predict(data=frame[frame.date <= LAST], future=future.iloc[::-1])
    pandas.testing.assert_frame_equal(named, kept)
    with pytest.raises(InputError, match="'plan' for series 'site 0' is given up to"):
        tiny.predict(data=frame[frame.date <= LAST])
    # One plan for all series needs no series column.
    plan = future[future.site == "site 0"].drop(columns="site")
    shared = tiny.predict(future=plan).query("series == 'site 0'")
    own = kept.query("series == 'site 0'")
    pandas.testing.assert_frame_equal(shared, own)


@pytest.mark.slow
def test_a_loaded_model_predicts_backtests_and_saves_the_same(tiny, frame, tmp_path):
    forecaster = LatentODEForecaster(**TINY).fit(frame, **COLUMNS, **ROLES)
    backtest = forecaster.backtest()  # with the GRU
    assert np.isfinite(backtest.metrics["baselines"]["gru"]["rmse"])
    forecaster.save(tmp_path / "model")
    again = LatentODEForecaster.load(tmp_path / "model")
    pandas.testing.assert_frame_equal(again.predict(), tiny.predict(), check_exact=True)
    pandas.testing.assert_frame_equal(again.backtest().frame, backtest.frame)
    assert again.table_.columns == tiny.table_.columns
    again.save(tmp_path / "again")
    weights = [tmp_path / name / "weights.safetensors" for name in ("model", "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    paths = tiny.latent(points=5)
    assert all(np.isfinite(path).all() for _, path in paths.values()) and len(paths) == 2
    assert tiny.robustness((0.5,), repeats=1)[0]["rmse"] == pytest.approx(
        backtest.metrics["model"]["rmse"]
    )


def test_an_interrupted_fit_resumes_to_the_bit(tiny, frame, tmp_path):
    class Stop(Exception):
        pass

    def stop(row):
        raise Stop

    with pytest.raises(Stop):
        LatentODEForecaster(**TINY).fit(
            frame, **COLUMNS, **ROLES, checkpoint=tmp_path, progress=stop
        )
    again = LatentODEForecaster(**TINY)
    again.fit(frame, **COLUMNS, **ROLES, checkpoint=tmp_path, resume=True)
    pandas.testing.assert_frame_equal(again.predict(), tiny.predict(), check_exact=True)
    others = {
        "plan": (frame.assign(plan=1 - frame.plan), ROLES),
        "upstream": (frame.assign(upstream=2 * frame.upstream), ROLES),
        "kind": (frame.assign(kind="rises"), ROLES),
        "roles": (frame, ROLES | {"known": "plan", "past": None}),
    }
    for changed, roles in others.values():
        with pytest.raises(InputError, match="other data or settings"):
            LatentODEForecaster(**TINY).fit(
                changed, **COLUMNS, **roles, checkpoint=tmp_path, resume=True
            )


def plan_of(frame, **changes):
    future = frame.loc[frame.date > LAST, ["date", "site", "plan"]].reset_index(drop=True)
    for (row, name), value in changes.get("cells", {}).items():
        future[name] = future[name].astype(object)
        future.loc[row, name] = value
    return future


FUTURES = {
    "missing value": (
        lambda f: plan_of(f, cells={(2, "plan"): None}),
        "missing in column 'plan', row 2",
    ),
    "text": (lambda f: plan_of(f, cells={(2, "plan"): "off"}), "'off' in column 'plan', row 2"),
    "no column": (
        lambda f: plan_of(f).rename(columns={"plan": "Plan"}),
        "no column 'plan'. Did you mean 'Plan'",
    ),
    "no time": (lambda f: plan_of(f).drop(columns="date"), "no column 'date'"),
    "missing series": (
        lambda f: plan_of(f).query("site == 'site 0'"),
        r"no row for series 'site 1' after its last observation \(2022-08",
    ),
    "misspelt series": (lambda f: plan_of(f).replace("site 1", "Site 1"), "Did you mean 'Site 1'"),
    "too early": (
        lambda f: plan_of(f).query("date <= '2022-08-12'"),
        "'plan' for series 'site 0' is given up to 2022-08-12.*asked for 2022-08-",
    ),
    "twice": (lambda f: pandas.concat([plan_of(f)] * 2), "have the same time in column 'date'"),
    "numbers": (
        lambda f: plan_of(f).assign(date=np.arange(2.0 * AHEAD)),
        "numbers, but the times of the data",
    ),
    "no frame": (lambda f: [1, 2], "list is not a data frame"),
}


@pytest.mark.parametrize("case", FUTURES)
def test_a_bad_future_is_named(tiny, frame, case):
    make, words = FUTURES[case]
    with pytest.raises(InputError, match=words):
        tiny.predict(future=make(frame))


def test_new_data_needs_the_covariates_and_categories_that_were_fitted(tiny, frame):
    with pytest.raises(InputError, match="no column 'kind'"):
        tiny.predict(data=frame.drop(columns="kind"))
    with pytest.raises(
        InputError, match=r"'kind' of series 'site 0' is 'sinks'.*never seen.*falls"
    ):
        tiny.predict(data=frame.replace({"kind": {"rises": "sinks"}}))
    with pytest.raises(InputError, match=r"'kind'.*fitted to texts"):
        tiny.predict(data=frame.assign(kind=1.0))
    plain = SeriesTable.from_frame(observed(frame), **COLUMNS)
    with pytest.raises(
        InputError, match="known covariates none, but the model was fitted with 'plan'"
    ):
        tiny.predict(data=plain)
    with pytest.raises(InputError, match=r"SeriesTable\.from_frame"):
        LatentODEForecaster(**TINY).fit(plain, known="plan")
    history = replace(tiny.table_.series[0], covariates=None)
    with pytest.raises(InputError, match="'plan' for series 'site 0'"):
        tiny.forecast(history, history.times[-1] + np.array([1.0]))


def test_known_inputs_are_given_over_all_rows_of_a_series(frame):
    late = frame.assign(plan=frame.plan.where(frame.date > day(40)))
    with pytest.raises(
        InputError, match=r"'plan' is given from 2022-02-13.* to .* for series 'site 0'"
    ):
        LatentODEForecaster(**TINY).fit(late, **COLUMNS, **ROLES)
    none = frame.assign(plan=frame.plan.where(frame.site == "site 0"))
    with pytest.raises(InputError, match="'plan' has no value for series 'site 1'"):
        LatentODEForecaster(**TINY).fit(none, **COLUMNS, **ROLES)


def test_a_calendar_needs_dates(frame):
    numbers = observed(frame).assign(date=lambda f: (f.date - START).dt.days.astype(float))
    with pytest.raises(InputError, match=r"calendar=.*column 'date' are plain numbers"):
        LatentODEForecaster(**TINY).fit(numbers, **COLUMNS)


def test_the_calendar_stands_where_the_clocks_of_the_zone_do():
    """Midnight of a Monday in Berlin, in summer and in winter."""
    mondays = pandas.DatetimeIndex(["2024-01-01", "2024-07-01"], tz="Europe/Berlin")
    numbers = mondays.tz_convert("UTC").tz_localize(None).to_numpy("M8[us]").astype(float) / 86400e6
    calendar = Calendar(("hour", "weekday", "yearday"), "Europe/Berlin")
    phases = calendar.phases(numbers)
    np.testing.assert_allclose(np.cos(phases[:, :7]), 1, atol=1e-6)
    assert phases[0, 7] == pytest.approx(0, abs=1e-6)
    assert phases[1, 7] == pytest.approx(2 * np.pi * 182 / 366)
    assert len(calendar.frequencies(7.0)) == phases.shape[1] == 9
    assert calendar.frequencies(7.0)[4] == pytest.approx(2 * np.pi)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(np.cos(Calendar(("hour",)).phases(numbers)), 1, atol=1e-2)
