"""`isocline events`: times of events in, their rate, scores, a model and a report out."""

from __future__ import annotations

import json

import numpy as np
import polars
import pytest

from isocline.cli import event_sequences as cli_sequences
from isocline.cli import events_run
from isocline.cli.common import Talk
from isocline.cli.event_clock import Clock
from isocline.cli.event_rounding import rounding_of, spread_within
from isocline.cli.event_sequences import read_sequences
from isocline.cli.events_settings import EventsSettings
from isocline.data.table import TimeAxis
from isocline.errors import InputError
from isocline.estimators import EventIntensity, event_sequences
from isocline.estimators import events as estimator
from isocline.evaluation import point_processes
from isocline.evaluation.point_processes import chosen_cells, event_baselines
from isocline.report import events as report
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
    assert scores.columns == ["sequence", "events", "log_density", "own_course", "test"]
    assert len(scores) == 16 and scores["test"].sum() == 3 and scores["events"].min() == 0
    rate = polars.read_csv(out / "rate.csv")
    assert rate.columns == ["time", "rate", "q05", "q95", "expected"]
    assert (rate["time"][0], rate["time"][-1], rate["expected"][0]) == (0, 48, 0)
    assert (rate["q05"] <= rate["q95"]).all()
    metrics = json.loads((out / "metrics.json").read_text())
    assert rate["expected"][-1] == pytest.approx(metrics["expected"])
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
    tested = scores.filter(polars.col("test"))
    own = tested["log_density"].to_numpy()
    assert found["behind"] == pytest.approx((own - each).mean(), rel=1e-5)
    metrics = json.loads((out / "metrics.json").read_text())
    course = metrics["baselines"]["own_course"]["log_density"]
    assert course == pytest.approx(tested["own_course"].mean())


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
    seen = []

    def watched(progress):
        return lambda row: (seen.append(row["epoch"]), progress({**row, "stage": "events"}))

    monkeypatch.setattr(events_run, "_staged", watched)
    assert isocline("events", "--out", out, "--resume", "--no-report", "--quiet").code == 0
    assert seen == [2]  # a run that began anew would be the same in the end
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


SECOND = 1 / 3600  # in hours
DATES = "when\n2024-01-01T10:00\n2024-01-01T23:59:30\n2024-01-03T00:00\n2024-01-04T06:00\n"


def test_a_record_is_cut_in_days_from_midnight(tmp_path):
    found = read(tmp_path, DATES, every="1d")
    assert found.names == ("2024-01-01", "2024-01-02", "2024-01-03")
    assert (found.end, found.unit) == (24.0, "hours")
    np.testing.assert_allclose(found.times[0], [10, 24 - 1 / 120], atol=SECOND)
    assert len(found.times[1]) == 0  # a day without events counts
    np.testing.assert_allclose(found.times[2], [0], atol=SECOND)
    assert "3 periods of 1d, from 2024-01-01 to 2024-01-04" in found.notes
    assert any("first event is at 2024-01-01T10:00: if the record" in note for note in found.notes)
    assert any("left out: 1 event from 2024-01-04 on" in note for note in found.notes)


def test_start_and_stop_say_when_the_record_was_watched(tmp_path):
    found = read(tmp_path, DATES, every="12h", start="2024-01-02", stop="2024-01-04T13:00")
    assert found.names[0] == "2024-01-02" and found.names[-1] == "2024-01-04"
    assert found.names[1] == "2024-01-02T12:00"
    assert not any("first event" in note for note in found.notes)
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
    """In tenths, which no float holds; so few that they may be exact."""
    tenths = "\n".join(f"{place / 10}" for place in range(6))
    found = read(tmp_path, f"time\n{tenths}\n", every="0.1")
    assert [len(one) for one in found.times] == [1] * 5
    assert max(one.max() for one in found.times) < 1e-9
    until = read(tmp_path, f"time\n{tenths}\n", every="0.1", stop="0.3")
    assert [len(one) for one in until.times] == [1] * 3
    assert any("left out: 3 events from 0.3 on" in note for note in until.notes)


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
    first = [one[0] for one in found.times if len(one)]
    np.testing.assert_allclose(first, [0.5, 0.5], atol=60 * SECOND)
    settings = EventsSettings(data=str(file), every="1d", start="2024-03-31T22:00Z")
    assert read_sequences(settings).names == ("2024-04-01",)


def lattice(kind, unit):
    """Text of a table of times that are drawn evenly over 2000 hours or 90 series, and rounded."""
    draw = np.random.default_rng(1)
    if kind == "series":
        rows = [
            f"p{series},{np.floor(time / unit) * unit}"
            for series in range(90)
            for time in draw.uniform(0, 48, 20)
        ]
        return "series,hour\n" + "\n".join(rows)
    hours = np.floor(np.sort(draw.uniform(0, 2000, 1600)) / unit) * unit
    if kind == "numbers":
        return "hour\n" + "\n".join(map(str, hours))
    dates = np.datetime64("2024-01-01") + np.round(hours * 3600).astype("timedelta64[s]")
    return "when\n" + "\n".join(map(str, dates))


@pytest.mark.parametrize("unit", [0.5, 1.0, 6.0])
@pytest.mark.parametrize("kind", ["series", "numbers", "dates"])
def test_a_rounding_is_no_common_course(tmp_path, kind, unit):
    """Times on a lattice, drawn evenly: cells that fit the lattice are not ahead of one rate."""
    every = {"series": {"end": 48, "series": "series"}, "numbers": {"every": "48"}}
    found = read(tmp_path, lattice(kind, unit), **every.get(kind, {"every": "2d"}))
    name = f"{unit:g} apart"
    if kind == "dates":
        name = {0.5: "30 minutes apart", 1: "whole hours", 6: "6 hours apart"}[unit]
    assert any(f"{name}: each is spread evenly over" in note for note in found.notes)
    end, half = found.end, len(found.times) // 2

    def ahead(sequences, cells):
        scores = event_baselines(sequences[:half], sequences[half:], end, cells)
        gain = scores["course"] - scores["constant"]
        return gain.mean(), gain.std() / np.sqrt(len(gain))

    known = found.times[:half]
    for cells in (96, chosen_cells(known[: half // 2], known[half // 2 :], end)):
        gain, error = ahead(found.times, cells)
        assert gain <= 2 * error
    parts = 48 / unit / end  # in the units of the times
    gain, error = ahead([np.floor(one * parts) / parts for one in found.times], 96)
    assert gain > max(5 * error, 5) or unit == 0.5  # as many halves of an hour as cells


def test_what_a_rounding_leaves_open_ends_at_the_end(tmp_path):
    hours = np.repeat(np.arange(49.0), 40)
    codes = np.arange(len(hours))
    rounding = rounding_of(hours, codes, 48, dated=False)
    moved, around = spread_within(hours, rounding, 48, 0)
    # An event at the end itself was not rounded down, so that 0 and 48 are halves.
    assert around and moved.min() >= 0 and moved.max() <= 48
    assert np.abs(moved - hours).max() <= 0.5
    moved, around = spread_within(hours, rounding, 48.5, 0)
    assert not around and moved.max() <= 48.5
    np.testing.assert_array_equal(np.floor(moved), hours)
    apart = hours + 0.1 * np.random.default_rng(0).random(len(hours))
    nothing = rounding_of(apart, codes, 48, dated=False)
    assert nothing.name == "" and spread_within(apart, nothing, 49, 0)[0] is apart


def stepped(times, length=1e3, dated=False):
    times = np.asarray(times, float)
    found = rounding_of(times, np.zeros(len(times), int), length, dated=dated)
    return found.name, found.coarsest


def test_few_numbers_have_no_rounding_by_chance():
    draw = np.random.default_rng(0)
    assert stepped([4, 10, 16, 40, 90]) == ("", 0)
    assert stepped([4, 10, 16, 40, 90, 12, 32, 34]) == ("1", 1)  # that they are even may be chance
    assert stepped(2 * draw.permutation(40)) == ("2", 2)
    assert stepped(np.repeat([4, 10, 16], 30)) == ("", 0)  # of one series: three times
    assert stepped(draw.permutation(40) / 60 + 0.3)[1] == pytest.approx(1 / 60)
    assert stepped(np.float32(draw.permutation(40) / 10)) == ("0.1", 0.1)
    assert stepped(draw.uniform(0, 9, 40)) == ("", 0)
    assert stepped(draw.permutation(40), length=1e9) == ("", 0)  # which nothing sees


def test_dates_have_roundings_in_their_units():
    minute, draw = 60e6, np.random.default_rng(0)
    start = 1.7e15 // (1440 * minute) * (1440 * minute)
    for count, name in ((5, "5 minutes"), (15, "15 minutes"), (60, "hours"), (10080, "7 days")):
        times = start + count * minute * draw.permutation(40)
        assert stepped(times, 1e12, dated=True) == (name, count * minute)
    assert stepped(start + draw.integers(0, 10**13, 40), 1e12, dated=True) == ("", 0)
    assert stepped([start + 1440 * minute] * 3, 1e12, dated=True) == ("days", 1440 * minute)


def test_months_are_spread_over_all_their_days(tmp_path):
    months = np.arange("2010-01", "2014-01", dtype="datetime64[M]")
    text = "month\n" + "\n".join(np.repeat(months, 9).astype(str))
    found = read(tmp_path, text, every="365d")
    assert any("whole months: each is spread evenly over its month" in note for note in found.notes)
    days = np.concatenate(found.times[:2])  # of 2010 and 2011, which have no leap day
    starts = np.cumsum([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30])
    counts = np.bincount(np.searchsorted(starts, days, side="right"))[1:]
    assert counts.tolist() == [18] * 12
    assert np.std(days % 28) > 6


def test_the_last_of_rounded_times_is_whole(tmp_path):
    text = "day\n" + "\n".join(map(str, range(28)))
    found = read(tmp_path, text, every="7")
    assert [len(one) for one in found.times] == [7] * 4
    assert not any("left out" in note for note in found.notes)
    longer = read(tmp_path, text + "\n28\n29", every="7")
    assert any("left out: 2 events from 28 on" in note for note in longer.notes)


def test_days_of_any_offset_are_seen(tmp_path):
    text = "when\n" + "\n".join(f"2024-01-{day:02}T00:00+02:00" for day in range(1, 11))
    found = read(tmp_path, text, every="2d")
    assert any("whole days" in note for note in found.notes)
    assert any("clocks in UTC" in note and "without an offset" in note for note in found.notes)


def test_an_unknown_zone_is_told_in_words():
    clock = Clock(TimeAxis("datetime", "Mars/Base"), "when")
    with pytest.raises(InputError, match=r"'when' have the time zone 'Mars/Base'.*Convert"):
        clock.times(np.array([1.0, 2.0]))


def test_hints_say_what_a_column_may_be(tmp_path):
    text = "station,timestamp\n" + "\n".join(f"a,{1.7e9 + 1234.5 * k}" for k in range(9))
    found = read(tmp_path, text, every="1000")
    assert any("seconds since 1970" in note and "cut in days" in note for note in found.notes)
    assert any("--series station cuts each" in note for note in found.notes)
    counter = "\n".join(f"{k},{1.7 * k}" for k in range(9))
    found = read(tmp_path, "id,time\n" + counter, every="3")
    assert not any("--series" in note for note in found.notes)


def test_too_many_events_or_series_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(cli_sequences, "MOST_SEQUENCES", 2)
        with pytest.raises(InputError, match=r"'patient' of events.csv has 3 series, more than 2"):
            read(tmp_path, STAYS, series="patient", end=50)
    monkeypatch.setattr(event_sequences, "MOST_EVENTS", 1)
    for text, settings, words in (
        (DATES, {"every": "1d"}, "period '2024-01-01' has 2 events, more than 1. Give a shorter"),
        (STAYS, {"series": "patient", "end": 50}, "series 'a' has 2 events, more than 1. Have"),
    ):
        (tmp_path / "events.csv").write_text(text)
        settings = EventsSettings(data=str(tmp_path / "events.csv"), **settings)
        with pytest.raises(InputError, match=words):
            run_of(settings).prepared()


def run_of(settings):
    return events_run.EventsRun(settings, Talk(quiet=True), resume=False, report=False, again="")


def test_cells_are_chosen_by_the_sequences_that_the_epoch_is(tmp_path, monkeypatch):
    (tmp_path / "stays.csv").write_text(stays_text(40))
    settings = EventsSettings(
        data=str(tmp_path / "stays.csv"), series="patient", end=48, validation=0.3, seed=7
    )
    training = read_sequences(settings).times[:30]
    chosen, split = [], []

    def choose(learnt, held, end):
        chosen.extend((learnt, held))
        return 1

    def stop(times, there, parts, batch):
        split.extend([training[place] for place in part] for part in parts)
        raise KeyboardInterrupt

    monkeypatch.setattr(point_processes, "chosen_cells", choose)
    monkeypatch.setattr(estimator, "event_problem", stop)
    run_of(settings)._cells(training, 48.0)
    with pytest.raises(KeyboardInterrupt):
        EventIntensity(**settings.estimator()).fit(training, 48.0)
    assert len(split[1]) == 9
    for one, other in zip(chosen, split, strict=True):
        assert all(map(np.array_equal, one, other))


def test_sequences_that_have_no_score_are_named():
    names = tuple("abcdefgh")
    scores = np.array([1, np.nan, 2, np.nan, 3, 4, 5, 6])
    (note,) = events_run._lost(names, scores, 512)
    assert "density of 'b', 'd' can not be computed" in note
    many, draws = events_run._lost(names, np.full(8, np.nan), 510)
    assert "'e' and 3 more" in many and "2 of 512 draws" in draws
    assert events_run._lost(names, np.ones(8), 512) == []


def test_the_worst_sequences_are_those_behind_a_simple_process():
    times = [np.zeros(count) for count in (9, 1, 3)]
    rows = report._least(["a", "b", "c"], times, np.array([-50, -2, -9.0]), np.array([-51, -1, -5]))
    assert [row[0] for row in rows] == ["c", "b"] and rows[0][1:] == ("3", "−9.000", "4.00")


@pytest.mark.parametrize(
    ("events", "end", "cells"),
    [
        (10_000, 24.0, 48), (10_000, 48.0, 48), (10_000, 7.0, 42), (10_000, 1440.0, 48),
        (100, 24.0, 4), (0, 24.0, 4), (10_000, 12.5, 48), (10_000, 97.0, 48),
    ],
)  # fmt: skip
def test_a_histogram_has_whole_hours_where_it_can(events, end, cells):
    assert report._cells(events, end) == cells


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
    "no unit": (DATES, {"every": "7"}, ["--every 7: times are dates", "12h, 7d or 2w."]),
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
    "too many periods": (
        DATES, {"every": "2s", "stop": "2024-02-01"}, ["--every 2s makes 1,321,200", "longer"]
    ),
    "far too many periods": (
        "when\n2024-01-01T10:00:00.123457\n2024-01-09\n", {"every": "1e-320d"},
        ["--every 1e-320d makes many more sequences than", "longer"],
    ),
    "periods of no length": ("time\n1\n9\n", {"every": "1e-320"}, ["makes many more sequences"]),
    "a record without end": ("t\n-1e308\n1e308\n", {"every": "1e305"}, ["many more sequences"]),
    "periods without end": (DATES, {"every": "1e308d"}, ["--every 1e308d is too long"]),
    "rounded to seconds": (DATES, {"every": "1s"}, ["whole seconds", "--every 1d"]),
    "rounded to months": (
        "month\n" + "\n".join(f"20{year}-05" for year in range(10, 20)), {"every": "28d"},
        ["whole months", "--every 365d"],
    ),
    "rounded to periods of numbers": (
        "time\n" + "\n".join(map(str, range(0, 90, 3))), {"every": "3"},
        ["multiples of 3", "--every 30"],
    ),
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
    def told(model, behind, error, tested=12):
        row = {"log_density": -5.0 - behind, "error": 1.0, "behind": behind, "behind_error": error}
        metrics = {
            "model": {"log_density": model, "error": 1.0},
            "baselines": {"course": row, "constant": row | {"log_density": -99.0}},
            "data": {"tested": tested},
        }
        return verdict(metrics, {"course": "a common course", "constant": "one rate"})

    ahead, behind, level = (told(-5.0, *pair) for pair in ((1.0, 0.1), (-1.0, 0.1), (-0.1, 0.1)))
    assert ahead["tone"] == "better" and "ahead by 1.00 ± 0.10" in ahead["text"]
    assert behind["tone"] == "worse" and "behind by 1.00" in behind["text"]
    assert "“a common course”" in behind["text"] and "foretells better" in behind["text"]
    assert level["tone"] == "same" and "from chance" in level["text"]
    assert told(-5.0, 1.0, None)["tone"] == "unknown"
    assert "can not be computed" in told(None, 1.0, 0.1)["text"]
    # Of three sequences 2.5 standard errors are chance, of twelve they are not.
    assert told(-5.0, 1.0, 0.4)["tone"] == "better"
    few = told(-5.0, 1.0, 0.4, tested=3)
    assert few["tone"] == "same" and "can not be told from chance" in few["text"]
