"""The folder of results: foreign files stay, failed runs lose nothing, new results replace all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import pytest

from isocline.cli.settings import ForecastSettings
from isocline.cli.staging import RESULTS, ResultFolder
from isocline.errors import InputError

SETTINGS = ForecastSettings().toml()


def fill(folder, mark, *names):
    """Write results that say who wrote them."""
    for name in names or RESULTS:
        if name == "model":
            (folder / name).mkdir()
            (folder / name / "config.json").write_text(mark)
        else:
            (folder / name).write_text(SETTINGS if name == "config.toml" else mark)


def read(folder):
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "config.toml"
    }


def test_results_appear_all_at_once(tmp_path):
    folder = ResultFolder(tmp_path / "a" / "b")
    with folder.staged() as new:
        fill(new, "first")
        assert not (folder.path / "model").exists()
    assert {entry.name for entry in folder.path.iterdir()} == set(RESULTS)


def test_a_new_result_replaces_the_whole_old_one(tmp_path):
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "first")
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "second", *(name for name in RESULTS if name != "report.html"))
    assert set(read(tmp_path).values()) == {"second"}
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_failed_run_leaves_the_old_result(tmp_path, failure):
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "first")
    before = read(tmp_path)
    with pytest.raises(failure), ResultFolder(tmp_path).staged() as new:
        fill(new, "second")
        raise failure
    assert read(tmp_path) == before


@pytest.mark.parametrize("moved", range(len(RESULTS) + 1))
def test_a_run_killed_while_it_moves_its_results_is_finished_by_the_next(tmp_path, moved):
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "first")
    ready = tmp_path / ".ready"
    ready.mkdir()
    fill(ready, "second")
    (ready / ".list").write_text("\n".join(sorted(RESULTS)))
    for name in RESULTS[:moved]:
        if name == "model":
            (tmp_path / name).rename(tmp_path / ".old")
        (ready / name).rename(tmp_path / name)
    ResultFolder(tmp_path)
    assert set(read(tmp_path).values()) == {"second"}
    assert {entry.name for entry in tmp_path.iterdir()} == set(RESULTS)


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


def kill_after(patch, changes):
    """Let so many changes of the disk happen, and no more."""
    left = iter(range(changes))

    def counted(change):
        def wrapped(*arguments, **options):
            if next(left, None) is None:
                raise Killed
            return change(*arguments, **options)

        return wrapped

    for name in ("rename", "unlink", "rmdir"):
        patch.setattr(os, name, counted(getattr(os, name)))


def test_a_kill_between_any_two_changes_of_the_disk_is_mended_by_the_next_run(
    tmp_path, monkeypatch
):
    outcomes = []
    for changes in range(100):
        folder = tmp_path / str(changes)
        with ResultFolder(folder).staged() as new:
            fill(new, "first")
        with monkeypatch.context() as patch, suppress(Killed):
            kill_after(patch, changes)
            with ResultFolder(folder).staged() as new:
                fill(new, "second", *(name for name in RESULTS if name != "report.html"))
            break
        ResultFolder(folder)
        shutil.rmtree(folder / ".new", ignore_errors=True)
        assert not [entry for entry in folder.iterdir() if entry.name.startswith(".")]
        (outcome,) = set(read(folder).values())
        outcomes.append(outcome)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {"first", "second"}


def test_checkpoints_step_aside_and_come_back(tmp_path):
    folder = ResultFolder(tmp_path)
    assert not folder.put_checkpoints_aside()
    assert not folder.take_checkpoints_back()
    state = folder.checkpoints / "latent_ode.safetensors"
    folder.checkpoints.mkdir()
    state.write_text("first")
    assert folder.put_checkpoints_aside()
    folder.checkpoints.mkdir()
    state.write_text("second")
    assert folder.take_checkpoints_back()
    assert state.read_text() == "first"
    assert folder.put_checkpoints_aside()
    folder.drop_earlier_checkpoints()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_had_begun_is_dropped(tmp_path):
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "first")
    (tmp_path / ".new").mkdir()
    fill(tmp_path / ".new", "half")
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "second")
    assert set(read(tmp_path).values()) == {"second"}


@pytest.mark.parametrize(
    "name", ["thesis.tex", "model", "report.html", "checkpoints", "forecast.csv"]
)
def test_a_folder_of_somebody_else_is_refused(tmp_path, name):
    (tmp_path / name).mkdir() if name in ("model", "checkpoints") else (tmp_path / name).touch()
    with pytest.raises(InputError, match=name):
        ResultFolder(tmp_path)
    ResultFolder(tmp_path, force=True)
    assert (tmp_path / name).exists()


def test_foreign_files_beside_a_result_are_refused_and_kept_by_force(tmp_path):
    with ResultFolder(tmp_path).staged() as new:
        fill(new, "first")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        ResultFolder(tmp_path)
    with ResultFolder(tmp_path, force=True).staged() as new:
        fill(new, "second")
    assert read(tmp_path)["notes.txt"] == "mine"


def test_hidden_files_do_not_count(tmp_path):
    (tmp_path / ".DS_Store").touch()
    ResultFolder(tmp_path)


def test_a_forecast_does_not_touch_a_foreign_folder(isocline, tmp_path, small):
    (tmp_path / "notes.txt").write_text("mine")
    ended = isocline("forecast", small, "--horizon", "60d", "--no-report", "--out", tmp_path)
    assert ended.code == 2
    assert "notes.txt" in ended.err
    assert "--force" in ended.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
