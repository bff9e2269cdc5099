"""Bad input ends with exit code 2 and a paragraph that says where and how to mend it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import polars
import pytest

from .conftest import HEADER, TINY, small_rows, write_rows


def table(**changes):
    """A text with rows of time and value, some of them changed."""
    rows = [[str(2 * k), f"{np.sin(k / 3):.3f}"] for k in range(40)]
    for place, cells in changes.get("rows", {}).items():
        rows[place] = cells
    rows = rows[: changes.get("most", 40)]
    return "\n".join(",".join(row) for row in [["time", "y"], *rows]) + "\n"


def dates(*first):
    rows = [f"2020-01-{k + 1:02},{k % 5}" for k in range(len(first), 30)]
    return "\n".join(["date,y", *first, *rows]) + "\n"


# Name of the case: content of the file, further options, words of the message.
FILES = {
    "empty file": ("", [], ["is empty"]),
    "header only": ("time,y\n", [], ["no rows"]),
    "one row": (table(most=1), [], ["one row"]),
    "two rows": (table(most=2), [], []),
    "unknown column": (table(), ["--target", "z"], ["no column 'z'", "'time', 'y'"]),
    "typing error": (table(), ["--target", "Y2"], ["Did you mean 'y'?"]),
    "text in a number": (table(rows={7: ["14", "oops"]}), [], ["'oops'", "row 9", "'y'"]),
    "mixed dates": (dates("2020-01-01,1", "soon,2"), [], ["'soon'", "row 3"]),
    "mixed zones": (dates("2019-01-01T00:00:00Z,1"), [], ["time zone"]),
    "missing time": (table(rows={3: ["", "1"]}), [], ["time is missing", "row 5"]),
    "duplicated times": (table(rows={5: ["8", "1"]}), [], ["same time", "--duplicates"]),
    "unsorted times": (table(rows={5: ["1", "1"]}), [], ["not in order", "--sort"]),
    "ragged row": (table(rows={5: ["10", "1", "2"]}), [], ["Row 7"]),
    "infinity": (table(rows={5: ["10", "inf"]}), [], ["Infinity", "row 7"]),
    "all missing": ("time,y\n" + "".join(f"{k},\n" for k in range(30)), ["--target", "y"], ["'y'"]),
    "horizon zero": (table(), ["--horizon", "0"], ["must be positive"]),
    "horizon below zero": (table(), ["--horizon=-3"], ["must be positive"]),
    "horizon below zero, apart": (table(), ["--horizon", "-3"], ["must be positive"]),
    "days below zero, apart": (
        dates(),
        ["--horizon", "-5d"],
        ["--horizon -5d", "must be positive"],
    ),
    "a date as horizon": (dates(), ["--horizon", "2019-01-01"], ["not a length", "by --at"]),
    "no target": (table(), ["--target", ""], ["no column ''"]),
    "empty times": (table(), ["--at", ""], ["names no time"]),
    "horizon in parsecs": (dates(), ["--horizon", "90 parsecs"], ["unknown unit 'parsecs'"]),
    "horizon without unit": (dates(), ["--horizon", "90"], ["no unit"]),
    "days on numbers": (table(), ["--horizon", "90d"], ["plain numbers"]),
    "horizon too long": (table(), ["--horizon", "1e9"], ["longer than the data"]),
    "times in the past": (table(), ["--at", "3,90"], ["not after the last observation"]),
    "unreadable times": (dates(), ["--at", "2021-01-01,soon"], ["'soon' (number 2 of the given"]),
    "dates on numbers": (table(), ["--at", "2020-01-01"], ["number"]),
    "no such file of times": (table(), ["--at", "nowhere.csv"], ["nowhere.csv"]),
    "unknown period": (table(), ["--period", "x"], ["--period x", "'x' is not a length"]),
    "channel without values": (table().replace("\n", ",\n").replace("y,", "y,z"), [], ["'z'"]),
    "no such settings": (table(), ["--config", "nowhere.toml"], ["nowhere.toml"]),
    "semicolons": ("time;y\n1;2\n", [], ["semicolons"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_table_is_refused(isocline, tmp_path, case):
    content, options, words = FILES[case]
    file, out = tmp_path / "bad.csv", tmp_path / "out"
    file.write_text(content)
    ended = isocline("forecast", file, "--out", out, "--no-report", "--quiet", *TINY, *options)
    refused(ended, *words)
    assert not out.exists() or not any(entry.is_file() for entry in out.iterdir())


def refused(ended, *words):
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    assert ended.out == ""
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_one_series_of_two_rows_among_longer_ones(isocline, tmp_path):
    rows = [
        *small_rows(rows=40),
        ("2016-01-01", "brief", "1", "2"),
        ("2016-01-09", "brief", "2", "3"),
    ]
    file = write_rows(tmp_path / "brief.csv", HEADER, rows)
    ended = isocline("info", file, "--json")
    assert ended.code == 0
    assert ended.document["series"][-1]["rows"] == 2


@pytest.mark.parametrize("command", ["forecast", "info"])
def test_what_is_no_table_is_refused(isocline, tmp_path, command):
    junk = tmp_path / "junk.parquet"
    junk.write_bytes(b"PAR1 and nothing more")
    text = tmp_path / "text.parquet"
    text.write_text("time,y\n1,2\n")
    zipped = tmp_path / "book.csv"
    zipped.write_bytes(b"PK\x03\x04rest")
    for data, word in (
        (tmp_path / "nowhere.csv", "no file"),
        (tmp_path, "folder"),
        (junk, "damaged Parquet"),
        (text, "Parquet"),
        (zipped, "zip archive"),
        ("ssst", "Did you mean 'sst'?"),
    ):
        refused(isocline(command, data), word)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochz = 3", ["'epochz'", "Did you mean 'epochs'?"]),
        ("epochs = 'many'", ["epochs", "integer"]),
        ("epochs = 0", ["greater than or equal to 1"]),
        ("epochs = = 3", ["is not TOML"]),
        ("learning_rate = nan", ["learning_rate"]),
    ],
)
def test_bad_settings_are_refused(isocline, tmp_path, text, words):
    file = tmp_path / "run.toml"
    file.write_text(text)
    refused(isocline("forecast", "--config", file, "--out", tmp_path / "out"), "run.toml", *words)


def test_an_output_that_can_not_be_written_is_refused(isocline, tmp_path, small):
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below", "/proc/nothing/here"):
        ended = isocline(
            "forecast", small, "--horizon", "60d", "--out", out, "--no-report", "--quiet"
        )
        refused(ended, str(out))


def damaged(model, how):
    config = json.loads((model / "config.json").read_text())
    weights = model / "weights.safetensors"
    if how == "no config":
        (model / "config.json").unlink()
    elif how == "no json":
        (model / "config.json").write_text("{")
    elif how == "newer format":
        (model / "config.json").write_text(json.dumps(config | {"format": 99}))
    elif how == "no weights":
        weights.unlink()
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif how == "flipped":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    elif how == "settings gone":
        (model / "config.json").write_text(json.dumps({**config, "settings": {"nonsense": 1}}))


def test_nothing_to_go_on_from_is_refused(isocline, tmp_path):
    """Instead of training on the built-in data, without a word on the typing error in --out."""
    refused(isocline("forecast", "--out", tmp_path / "typo", "--resume"), "no checkpoint", "DATA")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate", "info"])
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no config", ["no model", "config.json"]),
        ("no json", ["can not be read"]),
        ("newer format", ["format 99", "Upgrade"]),
        ("no weights", ["weights.safetensors"]),
        ("cut", ["damaged"]),
        ("flipped", ["damaged"]),
        ("settings gone", ["damaged"]),
    ],
)
def test_a_damaged_model_is_refused(isocline, tmp_path, fitted, command, how, words):
    model = tmp_path / "model"
    shutil.copytree(fitted / "model", model)
    damaged(model, how)
    refused(isocline(command, model), *words)


PREDICTIONS = {
    "both ways": (["--at", "2018-01-01", "--horizon", "3d"], ["not both"]),
    "past": (["--at", "2001-01-01"], ["not after the last observation"]),
    "numbers": (["--at", "3,4"], ["--at 3,4", "datetimes"]),
    "nonsense": (["--at", "soon"], ["'soon'"]),
    "nothing": (["--at", ","], ["names no time"]),
    "no file": (["--at", "nowhere.csv"], ["nowhere.csv"]),
    "no data": (["--data", "nowhere.csv"], ["nowhere.csv"]),
    "too far": (["--horizon", "1e9y"], ["more than 1000000 times"]),
    "no length": (["--horizon", "long"], ["not a length of time"]),
    "a folder": (["--out", "."], ["folder"]),
    "no such folder": (["--out", "/proc/nothing/here.csv"], ["/proc/nothing"]),
}


@pytest.mark.parametrize("case", PREDICTIONS)
def test_a_bad_question_is_refused(isocline, fitted, case):
    options, words = PREDICTIONS[case]
    refused(isocline("predict", fitted / "model", *options), *words)


def test_a_file_of_times_says_which_row_is_wrong(isocline, tmp_path, fitted):
    file = tmp_path / "times.csv"
    file.write_text("date,station\n2018-01-01,north\n2016-01-01,south\n")
    refused(isocline("predict", fitted, "--at", file), "'date', row 3 of times.csv", "not after")
    file.write_text("2018-01-01\n2018-02-01\n")
    refused(isocline("predict", fitted, "--at", file), "Row 1 of times.csv", "name the columns")


def test_newer_data_must_have_the_columns_of_the_model(isocline, tmp_path, fitted):
    file = write_rows(
        tmp_path / "other.csv", ("date", "station", "level"), [r[:3] for r in small_rows()]
    )
    refused(isocline("predict", fitted / "model", "--data", file), "no column 'flow'")
    times = tmp_path / "times.csv"
    polars.DataFrame({"date": ["2018-01-01"], "station": ["nowhere"]}).write_csv(times)
    refused(isocline("predict", fitted / "model", "--at", times), "'nowhere'")


def test_a_full_disk_loses_nothing(process, tmp_path, small, fitted):
    out = tmp_path / "out"
    shutil.copytree(fitted, out)
    before = contents(out)

    # Files can not grow beyond a few bytes, as if the disk were full.
    child = process(
        *("forecast", small, "--horizon", "50d", "--out", out, "--no-report", *TINY), file_size=600
    )
    _, error = child.communicate(timeout=120)
    assert child.returncode == 2, error
    assert f"{out} can not be written" in error
    assert "No epoch was done; the checkpoint of the earlier run is in its place again." in error
    assert "Make room, then go on with: isocline forecast --out" in error
    assert "Traceback" not in error
    assert contents(out) == before


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
