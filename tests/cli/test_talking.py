"""Progress, JSON and failures: what is said, where, and how a command ends."""

from __future__ import annotations

import errno
import json
import os
import re

import numpy as np
import pytest

from isocline.cli import app, progress
from isocline.cli.common import plain
from isocline.cli.failing import StoppedError, told
from isocline.errors import InputError, IsoclineError


def rows(stage, count):
    for epoch in range(1, count + 1):
        yield {
            "stage": stage,
            "epoch": epoch,
            "epochs": count,
            "loss": 1 / epoch,
            "validation": 0.5,
            "nfe": 14.0,
            "seconds": 0.5,
            "best_epoch": 1,
        }


def test_off_a_terminal_a_stage_has_one_line(capsys):
    with progress.progress_of(quiet=False) as report:
        for row in (*rows("latent_ode", 50), *rows("gru", 50)):
            report(row)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["latent ODE", "epoch 50/50"],
        ["GRU baseline", "epoch 50/50"],
    ]
    assert "loss 0.02  validation 0.5  (best at 1)  NFE 14.0  2 epochs/s" in lines[0]
    assert report.last["stage"] == "gru"


def test_a_long_stage_has_a_line_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress_of(quiet=False) as report:
        for row in rows("latent_ode", 9):
            report(row)
    assert 2 <= len(capsys.readouterr().err.splitlines()) <= 5


def test_quiet_progress_says_nothing_and_remembers(capsys):
    with progress.progress_of(quiet=True) as report:
        for row in rows("latent_ode", 3):
            report(row)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert report.last["epoch"] == 3


def test_a_terminal_has_bars(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress.progress_of(quiet=False) as report:
        for row in rows("latent_ode", 3):
            report(row)
        report("a word")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert "3/3 loss 0.333 val 0.5 NFE 14 2/s" in shown
    assert "a word" in shown


def test_json_is_strict():
    value = {"a": float("nan"), "b": np.float32(2), "c": np.array([1, np.inf]), "d": (1, None)}
    assert (
        json.dumps(plain(value), allow_nan=False)
        == '{"a": null, "b": 2.0, "c": [1.0, null], "d": [1, null]}'
    )


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("No such column."), 2, ["error: No such column."]),
        (StoppedError("Stopped. Go on."), 1, ["Go on"]),
        (KeyboardInterrupt(), 1, ["Stopped"]),
        (IsoclineError("The solve failed."), 1, ["The solve failed."]),
        (ZeroDivisionError("division by zero"), 1, ["ZeroDivisionError", "--debug"]),
        (ModuleNotFoundError("no", name="matplotlib.figure"), 2, ["isocline[plot]"]),
        (ModuleNotFoundError("no", name="pandas"), 2, ["isocline[tables]"]),
        (ModuleNotFoundError("no", name="elsewhere"), 1, ["Isocline failed"]),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 2, ["No space left", "(x)"]),
        (OSError(errno.EIO, "Input/output error"), 1, ["Input/output error"]),
        (MemoryError(), 1, ["memory"]),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 64 bytes."),
            1,
            ["fewer members"],
        ),
    ],
)
def test_failures_are_told_in_a_sentence(capsys, error, code, words):
    assert told(error, debug=False) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert len(shown.splitlines()) == 1
    for word in words:
        assert word in shown


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(isocline, monkeypatch, how):
    monkeypatch.setenv("ISOCLINE_DEBUG", "1" if how == "variable" else "0")
    ended = isocline("info", "nowhere.csv", *(["--debug"] if how == "option" else []))
    assert ended.code == 2
    assert "Traceback" in ended.err
    monkeypatch.setenv("ISOCLINE_DEBUG", "0")
    assert "Traceback" not in isocline("info", "nowhere.csv").err


def test_a_reader_that_leaves_early_is_no_error(process):
    child = process("info", "sst", "--json")
    child.stdout.close()
    child.stdout = None
    _, error = child.communicate(timeout=60)
    assert child.returncode == 1
    assert error == ""


def test_termination_ends_like_an_interrupt(isocline, monkeypatch):
    def terminated(*_):
        os.kill(os.getpid(), 15)

    monkeypatch.setattr(app, "make_app", lambda: terminated)
    ended = isocline("forecast")
    assert (ended.code, ended.err) == (1, "error: Stopped.\n")
