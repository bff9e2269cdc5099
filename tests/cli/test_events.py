"""`isocline events`: times of events in, their rate, scores, a model and a report out."""

from __future__ import annotations

import json

import numpy as np
import polars
import pytest

from isocline.cli import events_run
from isocline.cli.event_sequences import read_sequences
from isocline.cli.events_settings import EventsSettings
from isocline.errors import InputError
from isocline.estimators import EventIntensity
from isocline.report.events import verdict

TINY = ["--epochs", "2", "--hidden-size", "4", "--latent-size", "2"]
FILES = {
    "scores.csv", "rate.csv", "metrics.json", "model", "report.html", "config.toml", "checkpoints",
}  # fmt: skip


def stays_text(stays=16):
    """Text of a table of events of so many patients, of whom some have none."""
    draw = np.random.default_rng(0)
    lines = ["patient,hour"]
    for patient in range(stays):
        times = np.sort(draw.uniform(0, 48, draw.poisson(1.5)))
        lines += [f"p{patient},{time:.3f}" for time in times] or [f"p{patient},"]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def ran(tmp_path_factory, compiled):
    from isocline.cli import main

    folder = tmp_path_factory.mktemp("events")
    file, out = folder / "stays.csv", folder / "out"
    file.write_text(stays_text())
    arguments = ["events", file, "--series", "patient", "--end", "48", "--out", out, *TINY]
    assert main(list(map(str, [*arguments, "--quiet"]))) == 0
    return file, out


def test_a_run_leaves_scores_a_rate_a_model_and_a_report(ran):
    file, out = ran
    assert {entry.name for entry in out.iterdir()} == FILES
    scores = polars.read_csv(out / "scores.csv")
    assert scores.columns == ["sequence", "events", "expected", "log_density", "test"]
    assert len(scores) == 16 and scores["test"].sum() == 3 and scores["events"].min() == 0
    rate = polars.read_csv(out / "rate.csv")
    assert rate.columns == ["time", "rate", "q05", "q95", "expected"]
    assert (rate["time"][0], rate["time"][-1], rate["expected"][0]) == (0, 48, 0)
    assert (rate["q05"] <= rate["q95"]).all()
    assert rate["expected"][-1] == pytest.approx(scores["expected"][0])
    metrics = json.loads((out / "metrics.json").read_text())
    tested = scores.filter(polars.col("test"))
    assert metrics["model"]["log_density"] == pytest.approx(tested["log_density"].mean(), rel=1e-6)
    model = EventIntensity.load(out / "model")
    sequences = read_sequences(EventsSettings(data=str(file), series="patient", end=48)).times
    found = model.score_samples(sequences, metrics["draws"])
    np.testing.assert_allclose(found, scores["log_density"], rtol=1e-5)
    assert scores["events"].to_list() == [len(one) for one in sequences]


def test_processes_are_fitted_to_the_training_sequences_and_scored_on_the_others(ran):
    _, out = ran
    scores = polars.read_csv(out / "scores.csv")
    found = json.loads((out / "metrics.json").read_text())["baselines"]["constant"]
    training, test = (scores.filter(polars.col("test") == part)["events"] for part in (False, True))
    mean = training.mean()
    each = test.to_numpy() * np.log(mean / 48) - mean
    assert found["log_density"] == pytest.approx(each.mean())
    assert found["error"] == pytest.approx(each.std(ddof=1) / np.sqrt(3))
    own = scores.filter(polars.col("test"))["log_density"].to_numpy()
    assert found["behind"] == pytest.approx((own - each).mean(), rel=1e-5)


def test_the_report_needs_nothing_else(ran):
    _, out = ran
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 5 and "Events of stays.csv" in page
    for outside in ("http://", "https://", "<script", "<link", "src="):
        assert outside not in page.replace("http://www.w3.org", "")
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_a_run_that_was_stopped_goes_on_to_the_same(ran, isocline, tmp_path, monkeypatch):
    file, whole = ran
    out = tmp_path / "out"

    def stopping(progress):
        def note(row):
            progress({**row, "stage": "events"})
            raise KeyboardInterrupt

        return note

    with monkeypatch.context() as patched:
        patched.setattr(events_run, "_staged", stopping)
        ended = isocline(
            "events", file, "--series", "patient", "--end", "48", "--out", out, "--no-report",
            *TINY,
        )  # fmt: skip
    assert ended.code == 1 and "after epoch 1 of the rate of events" in ended.err
    assert f"isocline events --out {out} --resume --no-report" in ended.err
    assert not (out / "scores.csv").exists()
    assert isocline("events", "--out", out, "--resume", "--no-report", "--quiet").code == 0
    for name in ("scores.csv", "rate.csv", "model/weights.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_settings_are_used_again_and_json_is_whole(ran, isocline, tmp_path):
    _, out = ran
    ended = isocline(
        "events", "--config", out / "config.toml", "--out", tmp_path / "b", "--no-report", "--json",
        "--quiet",
    )  # fmt: skip
    assert ended.code == 0
    assert ended.document["model"] == json.loads((out / "metrics.json").read_text())["model"]


def test_a_saved_model_is_described(ran, isocline):
    _, out = ran
    shown = isocline("info", out)
    assert shown.code == 0 and "from 0 to 48" in shown.out
    assert isocline("info", out / "model", "--json").document["kind"] == "events"
    ended = isocline("score", out, out / "scores.csv")
    assert ended.code == 2 and "EventIntensity.load" in ended.err


def read(tmp_path, text, **settings):
    file = tmp_path / "events.csv"
    file.write_text(text)
    return read_sequences(EventsSettings(data=str(file), **settings))


DATES = "when\n2024-01-01T10:00\n2024-01-01T23:59:30\n2024-01-03T00:00\n2024-01-04T06:00\n"


def test_a_record_is_cut_in_days_from_midnight(tmp_path):
    found = read(tmp_path, DATES, every="1d")
    assert found.names == ("2024-01-01", "2024-01-02", "2024-01-03")
    assert (found.end, found.unit) == (24.0, "hours")
    np.testing.assert_allclose(found.times[0], [10, 24 - 1 / 120])
    assert len(found.times[1]) == 0  # a day without events counts
    np.testing.assert_allclose(found.times[2], [0])
    assert "3 periods of 1d, from 2024-01-01 to 2024-01-04" in found.notes
    assert any("left out: 1 event from 2024-01-04 on" in note for note in found.notes)


def test_start_and_stop_say_when_the_record_was_watched(tmp_path):
    found = read(tmp_path, DATES, every="12h", start="2024-01-02", stop="2024-01-04T13:00")
    assert found.names[0] == "2024-01-02" and found.names[-1] == "2024-01-04"
    assert found.names[1] == "2024-01-02T12" or found.names[1] == "2024-01-02T12:00"
    assert [len(one) for one in found.times] == [0, 0, 1, 0, 1]
    assert any("left out: 2 events before 2024-01-02" in note for note in found.notes)
    assert any("from 2024-01-04T12:00 on, which is no whole" in note for note in found.notes)
    longer = read(tmp_path, DATES, every="1d", stop="2024-01-10")
    assert [len(one) for one in longer.times] == [2, 0, 1, 1, 0, 0, 0, 0, 0]


def test_each_series_is_cut_over_the_time_of_all(tmp_path):
    text = "station,time\nb,0.5\na,1.7\na,3.1\nb,5.2\nc,\n"
    found = read(tmp_path, text, every="2", series="station")
    assert found.names == ("b 0", "b 2", "a 0", "a 2", "c 0", "c 2")
    assert (found.end, found.unit) == (2.0, "time")
    np.testing.assert_allclose(np.concatenate(found.times), [0.5, 1.7, 1.1])
    assert [len(one) for one in found.times] == [1, 0, 1, 1, 0, 0]


def test_borders_belong_to_the_period_that_begins_there(tmp_path):
    """In tenths, which no float holds."""
    tenths = "\n".join(f"{place / 10}" for place in range(31))
    found = read(tmp_path, f"time\n{tenths}\n", every="0.1")
    assert [len(one) for one in found.times] == [1] * 30
    assert max(one.max() for one in found.times) < 1e-9


def test_dates_without_a_clock_are_spread_over_their_day(tmp_path):
    text = "day\n" + "\n".join(f"2024-01-{day:02}" for day in range(1, 15))
    found = read(tmp_path, text, every="7d")
    assert [len(one) for one in found.times] == [7, 7]  # the last day is whole as well
    assert [set(np.floor(one)) for one in found.times] == [set(range(7))] * 2
    assert any("whole days: each is spread evenly over its day" in note for note in found.notes)
    assert read(tmp_path, text, every="7d").times[0].tolist() == found.times[0].tolist()


def test_times_with_a_zone_are_as_the_clocks_there_show_them(tmp_path):
    file = tmp_path / "zoned.parquet"
    times = polars.Series(["2024-03-30T23:30", "2024-03-31T22:30", "2024-04-02T12:00"])
    zoned = times.str.to_datetime(time_zone="UTC").dt.convert_time_zone("Europe/Berlin")
    polars.DataFrame({"when": zoned}).write_parquet(file)
    found = read_sequences(EventsSettings(data=str(file), every="1d"))
    assert found.names[0] == "2024-03-31"  # half past midnight, and half past midnight in summer
    np.testing.assert_allclose([one[0] for one in found.times if len(one)], [0.5, 0.5])
    settings = EventsSettings(data=str(file), every="1d", start="2024-03-31T22:00Z")
    assert read_sequences(settings).names == ("2024-04-01",)


STAYS = "patient,hour\na,1\na,50\nb,3\nc,\n"
# Text of a table, settings, words of the message.
WRONG = {
    "no such column": (STAYS, {"series": "patent", "end": 48}, ["'patent'", "Did you mean"]),
    "no such time": (STAYS, {"time": "hours"}, ["'hours'", "Did you mean 'hour'"]),
    "one for both": (STAYS, {"time": "hour", "series": "hour"}, ["--time and by --series"]),
    "no way to have sequences": (STAYS.replace("c,\n", ""), {}, ["--series (is it 'patient'?)"]),
    "no way to have periods": (DATES, {}, ["--series", "--every 1d"]),
    "no end": (STAYS, {"series": "patient"}, ["--end NUMBER", "'hour'", "is at 50"]),
    "after the end": (
        STAYS, {"series": "patient", "end": 48},
        ["event at 50 in column 'hour', row 3", "after --end 48", "later --end"],
    ),
    "before the start": (
        STAYS + "b,-1\n", {"series": "patient", "end": 50}, ["at -1 ", "row 6", "before 0"],
    ),
    "no number": (
        STAYS + "b,noon\n", {"series": "patient", "end": 50}, ["'noon'", "'hour', row 6"]
    ),
    "no date": (DATES + "soon\n", {"every": "1d"}, ["'soon'", "row 6", "2020-01-31"]),
    "no events": ("patient,hour\na,\nb,\n", {"series": "patient", "end": 50}, ["no event"]),
    "an empty time beside others": (
        STAYS + "b,\n", {"series": "patient", "end": 50}, ["row 6", "'b' has events"]
    ),
    "an empty time of a record": (
        "time,kind\n1,a\n,b\n", {"every": "1"}, ["missing", "row 3", "only where --series"]
    ),
    "a series without a name": (STAYS + ",7\n", {"series": "patient", "end": 50}, ["row 6"]),
    "end and every": (DATES, {"every": "1d", "end": 24}, ["--end", "--every", "one of them"]),
    "start alone": (STAYS, {"series": "patient", "end": 50, "start": "3"}, ["--start", "--every"]),
    "dates without periods": (
        "id,when\na,2024-01-01\nb,2024-01-02\n", {"series": "id", "end": 2},
        ["are dates", "--every"],
    ),
    "longer than the record": (DATES, {"every": "7d"}, ["--every 7d is longer", "2024-01-04"]),
    "no unit": (DATES, {"every": "7"}, ["--every: '7' has no unit"]),
    "a unit too many": ("time\n1\n9\n", {"every": "7d"}, ["--every", "plain numbers"]),
    "months": (DATES, {"every": "1M"}, ["--every 1M", "differ in length"]),
    "a start that is no date": (DATES, {"every": "1d", "start": "May"}, ["--start May"]),
    "a start that is no number": ("time\n1\n9\n", {"every": "1", "start": "x"}, ["--start x"]),
    "a zone where none is": (
        DATES, {"every": "1d", "start": "2024-01-01T00:00Z"}, ["--start", "zone"]
    ),
    "stop before start": (DATES, {"every": "1d", "stop": "2023-01-01"}, ["later --stop"]),
    "no event in there": (
        DATES, {"every": "1d", "start": "2024-02-01", "stop": "2024-02-09"}, ["No event", "--start"]
    ),
    "rounded to periods": ("day\n2024-01-01\n2024-01-09\n", {"every": "1d"}, ["whole days", "7d"]),
    "too many periods": (DATES, {"every": "1s"}, ["--every 1s makes", "longer"]),
    "several times": ("a,b\n2024-01-01,2024-01-02\n", {"every": "1d"}, ["'a', 'b'", "--time"]),
    "a header alone": ("a,b\n", {"every": "1d"}, ["no rows below its header"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_record_of_events_is_refused(tmp_path, case):
    text, settings, words = WRONG[case]
    with pytest.raises(InputError) as refused:
        read(tmp_path, text, **settings)
    for word in words:
        assert word in str(refused.value), str(refused.value)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (STAYS, ["--series", "patient", "--end", "9"], ["after --end 9"]),
        ("p,hour\na,1\n", ["--series", "p", "--end", "9"], ["has 1 sequence ", "At least 3"]),
        (DATES, ["--every", "2d"], ["has 1 sequence ", "shorter --every"]),
        (
            STAYS, ["--series", "patient", "--end", "50", "--test", "0.8"],
            ["--test 0.8 keeps 2 of 3", "Lower it"],
        ),
        (
            "p,hour\na,1\nb,\nc,\n", ["--series", "p", "--end", "9", "--seed", "1"],
            ["none of the others has an event", "--seed"],
        ),
        (STAYS, ["--series", "patient", "--end", "-5"], ["--end = '-5'", "greater than 0"]),
    ],
)  # fmt: skip
def test_a_wrong_call_leaves_nothing_behind(isocline, tmp_path, text, options, words):
    file, out = tmp_path / "bad.csv", tmp_path / "out"
    file.write_text(text)
    ended = isocline("events", file, "--out", out, "--quiet", "--no-report", *TINY, *options)
    assert ended.code == 2 and not ended.out and ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err
    assert not out.exists()


def test_a_table_must_be_named(isocline):
    ended = isocline("events")
    assert ended.code == 2 and "Name a table of events" in ended.err


def test_the_verdict_says_who_is_ahead():
    def told(model, behind, error):
        row = {"log_density": model - behind, "error": 1.0, "behind": behind, "behind_error": error}
        metrics = {
            "model": {"log_density": model, "error": 1.0},
            "baselines": {"course": row, "constant": row | {"log_density": -99.0}},
            "data": {"tested": 12},
        }
        return verdict(metrics, {"course": "a common course", "constant": "one rate"})

    ahead, behind, level = (told(-5.0, *pair) for pair in ((1.0, 0.1), (-1.0, 0.1), (-0.1, 0.1)))
    assert ahead["tone"] == "better" and "ahead by 1.00 ± 0.10" in ahead["text"]
    assert behind["tone"] == "worse" and "behind by 1.00" in behind["text"]
    assert "“a common course”" in behind["text"] and "foretells better" in behind["text"]
    assert level["tone"] == "same" and "from chance" in level["text"]
    assert told(-5.0, 1.0, None)["tone"] == "unknown"
