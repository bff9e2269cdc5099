"""Settings, tables and questions that do not fit: InputError before any training, in words."""

from __future__ import annotations

import inspect

import numpy as np
import pandas
import pytest

from isocline.errors import InputError
from isocline.estimators import LatentODEForecaster

from .conftest import TINY, ZONE, small_frame


@pytest.fixture(autouse=True)
def never_trained(monkeypatch, request):
    """All this is found before the training, which would take its time."""
    if "fitted" not in request.fixturenames:
        monkeypatch.setattr(
            LatentODEForecaster, "_train", lambda *_: pytest.fail("training had begun")
        )


NAN = float("nan")
SETTINGS = {
    "horizon": ["60d", NAN, -1, 0, np.inf, [3]],
    "encoder": ["lstm", None, ["rnn"]],
    "deletion": [1.0, -0.1, NAN, None, "half"],
    "average": [1.0, -0.1, NAN, None, "half"],
    "growth": [1.1, -0.1, NAN, None, "half"],
    "shooting": [-1, 2.5, NAN, None, "four"],
    "dynamics": ["SDE", None, 1],
    "periods": [(0,), (-3.0,), (NAN,), (np.inf,), 365.25, "365", ("1y",), [None]],
    "epochs": [0, 1.5, "many", None],
    "members": [0, -1, 2.0],
    "hidden_size": [0],
    "latent_size": [0],
    "batch_size": [0, None],
    "patience": [-1, 1.5, "a"],
    "learning_rate": [0, -1e-3, NAN, "fast", None],
    "kl_weight": [-1, NAN, None],
    "seed": [-1, 1.5, "a", None, 2**70],
    "calendar": ["weekday", ("weekdays",), ("hour", "hour"), None, 3],
    "interpolation": ["cubic", None, 1],
    "anchored": ["yes", None, 1],
    "linear": ["yes", None, 1],
    "transform": ["log", None, True],
}
CASES = [(name, value) for name, values in SETTINGS.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_a_bad_setting_is_named(frame, name, value):
    with pytest.raises(InputError, match=f"^{name}="):
        LatentODEForecaster(**TINY | {name: value}).fit(frame)


def test_every_setting_is_checked():
    """A new setting needs a check, and a line above."""
    assert set(SETTINGS) == set(inspect.signature(LatentODEForecaster).parameters)


def test_settings_can_be_read_and_set():
    forecaster = LatentODEForecaster(members=2)
    assert forecaster.get_params()["members"] == 2
    assert forecaster.set_params(members=3, seed=1) is forecaster
    assert (forecaster.members, forecaster.seed) == (3, 1)
    assert LatentODEForecaster(**forecaster.get_params()).get_params() == forecaster.get_params()
    with pytest.raises(InputError, match="no setting 'colour'"):
        forecaster.set_params(colour=1)


def one_row(frame):
    return frame[frame.level.notna() & frame.flow.notna()].iloc[:1]


TABLES = {
    "no frame": (lambda f: [1, 2], "list is not a data frame"),
    "nothing": (lambda f: None, "not a data frame"),
    "empty": (lambda f: f.iloc[:0], "no rows"),
    "one row": (one_row, "one row"),
    "a row a series": (lambda f: f.dropna().groupby("station").head(1), "row"),
    "all-missing channel": (lambda f: f.assign(flow=np.nan), "'flow'.*no observed value"),
    "infinite": (lambda f: f.assign(level=np.inf), "Infinity in column 'level', row 0"),
    "out of order": (lambda f: f.iloc[::-1], "not in order"),
    "time twice": (lambda f: pandas.concat([f.iloc[:1], f]), "same time"),
    "time missing": (lambda f: f.assign(date=f.date.where(f.index != 3)), "time is missing.*row 3"),
    "name missing": (
        lambda f: f.assign(station=f.station.where(f.index != 3)),
        "series is missing",
    ),
    "text": (lambda f: f.assign(flow=f.flow.astype(object).where(f.index != 5, "x")), "'x'.*row 5"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_is_refused_where_it_is_wrong(frame, case):
    spoil, words = TABLES[case]
    target = ["level", "flow"]
    with pytest.raises(InputError, match=words):
        LatentODEForecaster(**TINY).fit(spoil(frame), target=target)


def test_one_row_without_a_horizon_is_refused_as_well(frame):
    with pytest.raises(InputError, match="one row"):
        LatentODEForecaster().fit(one_row(frame))


def test_a_column_that_is_not_there_is_named(frame):
    with pytest.raises(InputError, match=r"no column 'levle'\. Did you mean 'level'"):
        LatentODEForecaster(**TINY).fit(frame, target="levle")


@pytest.mark.parametrize("horizon", [889, 1e9])
def test_a_horizon_longer_than_the_data_is_refused(frame, horizon):
    with pytest.raises(InputError, match="longer than the data"):
        LatentODEForecaster(**TINY | {"horizon": horizon}).fit(frame)


@pytest.mark.parametrize("method", ["predict", "backtest", "score", "latent", "robustness"])
def test_what_is_not_fitted_says_so(method):
    with pytest.raises(InputError, match="not fitted"):
        getattr(LatentODEForecaster(), method)()


def test_what_is_not_fitted_can_not_be_saved(tmp_path):
    with pytest.raises(InputError, match="not fitted"):
        LatentODEForecaster().save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


LATER = pandas.Timestamp("2017-08-01", tz=ZONE)
QUESTIONS = {
    "past": (["2015-06-01"], "2015-06-01.*not after the last observation.*'north'"),
    "some in the past": ([pandas.Timestamp("2015-06-01", tz=ZONE), LATER], "not after"),
    "in the past of one": (
        pandas.DataFrame({"date": ["2016-01-01"], "station": ["south"]}),
        "not after.*'south'",
    ),
    "a number": ([20000.0], "datetimes"),
    "junk": (["soon"], "'soon'"),
    "nothing": ([], "no time"),
    "an empty frame": (pandas.DataFrame({"date": []}), "no time"),
    "missing": ([pandas.NaT], "NaT"),
    "unknown series": (
        pandas.DataFrame({"date": [LATER], "station": ["west"]}),
        "'west' is not in the data.*north, south",
    ),
    "no time column": (pandas.DataFrame({"when": [LATER], "x": [1]}), "no column 'date'"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_a_bad_question_is_refused(fitted, case):
    asked, words = QUESTIONS[case]
    with pytest.raises(InputError, match=words):
        fitted.predict(asked)


def test_times_of_one_series_must_rise(fitted):
    series = fitted.table_.series[0]
    last = series.times[-1]
    with pytest.raises(InputError, match="increasing"):
        fitted.forecast(series, [last + 2, last + 1])
    with pytest.raises(InputError, match="not after"):
        fitted.forecast(series, [last - 5, last + 1])
    with pytest.raises(InputError, match="no time"):
        fitted.forecast(series, [])


NEWER = {
    "no channel": (lambda f: f.drop(columns="flow"), "no column 'flow'"),
    "no series column": (lambda f: f.drop(columns="station"), "no column 'station'"),
    "numbers": (lambda f: f.assign(date=np.arange(float(len(f)))), "number time axis"),
    "no frame": (lambda f: [], "not a data frame"),
    "empty": (lambda f: f.iloc[:0], "no rows"),
}


@pytest.mark.parametrize("case", NEWER)
def test_newer_data_must_be_like_the_old(fitted, case):
    change, words = NEWER[case]
    with pytest.raises(InputError, match=words):
        fitted.predict(data=change(small_frame(seed=2)))


def test_other_channels_in_a_table_are_refused(fitted):
    from isocline.estimators.forecaster import as_table

    table = as_table(small_frame(), target="level")
    with pytest.raises(InputError, match=r"channels level .*fitted to level, flow"):
        fitted.predict(data=table)
