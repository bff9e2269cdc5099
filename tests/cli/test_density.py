"""`isocline density`: a table in, log-densities, new rows, a model and a report out."""

from __future__ import annotations

import csv
import json

import numpy as np
import polars
import pytest

from isocline.cli import main
from isocline.cli.density_settings import DensitySettings
from isocline.estimators import ContinuousFlow

TINY = ["--matching", "2", "--likelihood", "0", "--hidden-size", "8", "--samples", "50"]


def table_text(rows=200, **columns):
    """Text of a table of two related columns, a word, and columns of choice."""
    draw = np.random.default_rng(0)
    kind = draw.choice(["dry", "wet"], rows)
    x = draw.normal(size=rows) + 2 * (kind == "wet")
    found = {"x": x, "y": x + draw.normal(size=rows), "kind": kind} | columns
    lines = [",".join(found)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*found.values())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def ran(tmp_path_factory, compiled):
    folder = tmp_path_factory.mktemp("density")
    file, out = folder / "rain.csv", folder / "out"
    file.write_text(table_text())
    arguments = ["density", file, "--context", "kind", "--out", out, "--quiet", *TINY]
    assert main(list(map(str, arguments))) == 0
    return file, out


def test_a_run_leaves_scores_rows_a_model_and_a_report(ran):
    _, out = ran
    names = {entry.name for entry in out.iterdir()}
    assert names == {
        "scores.csv", "sample.csv", "metrics.json", "model", "report.html", "config.toml",
        "checkpoints",
    }  # fmt: skip
    scores = polars.read_csv(out / "scores.csv")
    assert scores.columns == ["x", "y", "kind", "log_density", "test"]
    assert len(scores) == 200 and scores["test"].sum() == 20
    sample = polars.read_csv(out / "sample.csv")
    assert sample.columns == ["x", "y", "kind"] and len(sample) == 50
    metrics = json.loads((out / "metrics.json").read_text())
    tested = scores.filter(polars.col("test"))["log_density"]
    assert metrics["model"]["nll"] == pytest.approx(-tested.mean())
    assert metrics["data"]["context"] == ["kind"] and metrics["normal"]["nll"] > 0
    model = ContinuousFlow.load(out / "model")
    found = model.score_samples(scores.select("x", "y"), context=scores["kind"].to_numpy())
    np.testing.assert_allclose(found, scores["log_density"], atol=1e-6)


def test_the_report_needs_nothing_else(ran):
    _, out = ran
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 4 and "Density of x and y" in page
    for outside in ("http://", "https://", "<script", "<link", "src="):
        assert outside not in page.replace("http://www.w3.org", "")
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_regularizers_reach_the_estimator(isocline, tmp_path):
    given = {"energy": 0.05, "jacobian": 0.02, "coupling": True, "optimizer": "adamw"}
    assert DensitySettings(**given).estimator().items() >= given.items()
    file = tmp_path / "x.csv"
    file.write_text(table_text())
    ended = isocline("density", file, "--context", "kind", "--hamilton-jacobi", "0.1")
    assert ended.code == 2 and "field='potential'" in ended.err


def test_settings_are_used_again_and_json_is_whole(ran, isocline, tmp_path):
    _, out = ran
    ended = isocline(
        "density", "--config", out / "config.toml", "--out", tmp_path / "b", "--no-report",
        "--json", "--quiet",
    )  # fmt: skip
    assert ended.code == 0
    assert ended.document["model"] == json.loads((out / "metrics.json").read_text())["model"]
    with (tmp_path / "b" / "sample.csv").open() as again, (out / "sample.csv").open() as first:
        assert list(csv.reader(again)) == list(csv.reader(first))


def test_a_run_that_is_done_is_resumed_to_the_same(ran, isocline):
    _, out = ran
    before = (out / "scores.csv").read_bytes()
    assert isocline("density", "--out", out, "--resume", "--quiet").code == 0
    assert (out / "scores.csv").read_bytes() == before


WAIT = np.random.default_rng(1).exponential(size=1500)
# Content of the file, further options, words of the message.
FILES = {
    "words": (table_text(), [], ["Column 'kind'", "categorical", "--context kind"]),
    "a date": (table_text(day=["2020-01-01"] * 200), ["--context", "kind"], ["'day'", "dates"]),
    "a typing error": (
        table_text().replace("\n", "\nnix,", 1).replace("nix,", "nix,0.5,dry\n", 1),
        ["--context", "kind"], ["'nix'", "column 'x'", "row 2"],
    ),
    "an empty cell": (
        table_text() + ",1,dry\n", ["--context", "kind"], ["no value", "column 'x'", "row 202"]
    ),
    "infinity": (
        table_text() + "inf,1,dry\n", ["--context", "kind"],
        ["Infinity", "row 202", "Correct the cell or delete the row, or name other columns"],
    ),
    "a whole number no float can hold": (
        table_text() + f"{10**400},1,dry\n", ["--context", "kind"], ["Infinity", "row 202"]
    ),
    "a header alone": ("x,y\n", [], ["no rows below its header", "one row for each observation"]),
    "out of bounds": (
        table_text().replace("\n", "\n,,\n-9,1,dry\n", 1),  # a blank row counts as well
        ["--context", "kind", "--bounds", "x=-8:8"], ["'x' is -9 in row 3, ", "1 rows are like"],
    ),
    "few values": (
        table_text(day=np.arange(200) % 5), ["--context", "kind"],
        ["'day' takes only 5 values", "--context (in Python: context=)"],
    ),
    "no rows to learn from": (
        table_text(), ["--context", "kind", "--test", "0.99"],
        ["--test 0.99 keeps 198 of 200 rows", "Lower it", "There are 2 samples"],
    ),
    "an unknown column": (table_text(), ["--columns", "x,z"], ["no column 'z'"]),
    "twice": (table_text(), ["--columns", "x,y", "--context", "y"], ["'y'", "choose one"]),
    "constant": (table_text(c=[3] * 200), ["--columns", "x,c"], ["Column 'c'", "constant"]),
    "bounded": (
        table_text(1500, wait=WAIT), ["--columns", "x,wait"], ["'wait'", "--bounds wait=0:"]
    ),
    "no bounds": (table_text(), ["--columns", "x", "--bounds", "x"], ["--bounds x", "share=0:1"]),
    "one row": ("x,y\n1,2\n", [], ["1 sample"]),
    "no rows a step": (table_text(), ["--batch-size", "0"], ["--batch-size", "greater than"]),
    "an empty file": ("", [], ["is empty"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_table_without_a_density_is_refused(isocline, tmp_path, case):
    content, options, words = FILES[case]
    file, out = tmp_path / "bad.csv", tmp_path / "out"
    file.write_text(content)
    ended = isocline("density", file, "--out", out, "--quiet", "--no-report", *TINY, *options)
    assert ended.code == 2 and not ended.out and ended.err.count("\n") == 1
    for word in words:
        assert word in ended.err
    assert not out.exists()


def test_a_table_must_be_named(isocline):
    ended = isocline("density")
    assert ended.code == 2 and "Name a table" in ended.err


def test_new_rows_are_scored_by_a_saved_density(ran, isocline, tmp_path):
    file, out = ran
    rows = list(csv.reader(file.read_text().splitlines()))
    new = tmp_path / "new.csv"  # other columns, in another order, and a column more
    order = [2, 0, 1]
    new.write_text(
        "\n".join(",".join([row[k] for k in order] + ["7"]) for row in rows[:6]).replace(
            "kind,x,y,7", "kind,x,y,id"
        )
    )
    written = tmp_path / "found.csv"
    ended = isocline("score", out, new, "--out", written)
    assert ended.code == 0 and "5 rows" in ended.err
    found, known = polars.read_csv(written), polars.read_csv(out / "scores.csv")[:5]
    assert found.columns == ["x", "y", "kind", "log_density"]
    np.testing.assert_allclose(found["log_density"], known["log_density"], atol=1e-5)
    printed = isocline("score", out / "model", new)
    assert printed.out == written.read_text()
    document = json.loads(isocline("score", out, new, "--json").out)
    assert document["nll"] == pytest.approx(-found["log_density"].mean())
    assert len(document["scores"]) == 5


def test_what_can_not_be_scored_is_said(ran, isocline, tmp_path):
    file, out = ran
    short, unknown = tmp_path / "short.csv", tmp_path / "unknown.csv"
    short.write_text("x,kind\n1,dry\n")
    unknown.write_text("x,y,kind\n1,2,foggy\n")
    named = tmp_path / "array"
    model = ContinuousFlow(matching=1, likelihood=0, hidden_size=4)
    model.fit(np.random.default_rng(0).normal(size=(60, 2))).save(named)
    for arguments, word in [
        ((out, short), "'y'"),
        ((out, unknown), "foggy"),
        ((out, tmp_path / "none.csv"), "none.csv"),
        ((tmp_path, file), str(tmp_path)),
        ((named, file), "no names"),
        ((out, file, "--out", tmp_path), "is a folder"),
    ]:
        ended = isocline("score", *arguments)
        assert ended.code == 2 and not ended.out and word in ended.err, ended.err
        assert ended.err.count("\n") == 1


def test_a_saved_density_is_described_and_forecasts_nothing(ran, isocline):
    _, out = ran
    shown = isocline("info", out)
    assert shown.code == 0 and "columns:  x, y" in shown.out and "given:    kind" in shown.out
    document = json.loads(isocline("info", out / "model", "--json").out)
    assert document["kind"] == "density" and document["context"] == ["kind"]
    for command in ("predict", "evaluate"):
        ended = isocline(command, out / "model")
        assert ended.code == 2 and "isocline score" in ended.err and ended.err.count("\n") == 1


def test_names_and_words_are_those_that_were_learnt(isocline, tmp_path):
    draw = np.random.default_rng(0)
    rows, kinds = draw.normal(size=(80, 2)), draw.choice(["01", "A2"], 80)
    model = ContinuousFlow(matching=1, likelihood=0, hidden_size=4)
    frame = polars.DataFrame({"width, cm": rows[:, 0], "log_density": rows[:, 1]})
    model.fit(frame, context=polars.DataFrame({"kind": kinds})).save(tmp_path / "model")
    new = tmp_path / "new.csv"
    new.write_text('kind,"width, cm",log_density\n01,0.1,0.2\n01,1,2\n')  # a number, were it alone
    ended = isocline("score", tmp_path / "model", new)
    found = list(csv.reader(ended.out.splitlines()))
    assert found[0] == ["width, cm", "log_density", "kind", "log_density_"]
    asked = polars.DataFrame({"width, cm": [0.1, 1.0], "log_density": [0.2, 2.0]})
    known = model.score_samples(asked, context=np.array(["01", "01"]))
    np.testing.assert_allclose([float(row[3]) for row in found[1:]], known, atol=1e-5)
    for line, word in (("01,,2", "is empty"), ("01,wide,2", "numbers")):
        new.write_text(f'kind,"width, cm",log_density\n{line}\n')
        ended = isocline("score", tmp_path / "model", new)
        assert ended.code == 2 and word in ended.err and "--columns" not in ended.err
