"""A run that is stopped or killed goes on exactly where it was."""

from __future__ import annotations

import json
import signal
import time

import pytest

from isocline.cli import main

TINY = ["--epochs", "6", "--members", "1", "--hidden-size", "8", "--latent-size", "2"]
EXACT = ("forecast.csv", "backtest.csv", "model/weights.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small):
    """The result of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    arguments = ["forecast", small, "--horizon", "60d", "--no-report", *TINY, "--out", out]
    assert main(list(map(str, arguments))) == 0
    return out


def epochs_done(out) -> int:
    """Epochs in the checkpoint of the latent ODE."""
    from safetensors import safe_open

    file = out / "checkpoints" / "latent_ode.safetensors"
    if not file.exists():
        return 0
    with safe_open(file, framework="numpy") as state:
        return json.loads(state.metadata()["notes"])["epoch"]


def stopped(child, out, number):
    """Send a signal once a few epochs are done; give what the process said."""
    patience = time.monotonic() + 150
    while epochs_done(out) < 2 and child.poll() is None:
        assert time.monotonic() < patience
        time.sleep(0.02)
    assert child.poll() is None, child.communicate()
    child.send_signal(number)
    return child.communicate(timeout=60)


def same(out, whole):
    return [
        name for name in EXACT if (out / name).read_bytes() != (whole / name).read_bytes()
    ] == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_a_stopped_run_goes_on_bitwise(isocline, process, tmp_path, small, whole, name):
    out = tmp_path / "out"
    arguments = ["forecast", small, "--horizon", "60d", "--no-report", *TINY, "--out", out]
    child = process(*arguments)
    _, error = stopped(child, out, getattr(signal, name))
    assert epochs_done(out) >= 2
    assert not (out / "model").exists()
    if name != "SIGKILL":
        assert child.returncode == 1
        assert f"isocline forecast --out {out} --resume --no-report" in error
        assert "Traceback" not in error
    # The settings are kept beside the checkpoint: no option needs to be given again.
    ended = isocline("forecast", "--out", out, "--resume", "--no-report")
    assert ended.code == 0, ended.err
    assert same(out, whole)


def test_a_run_stopped_while_it_compiles_ends_in_order(process, tmp_path, small):
    """With nothing compiled before, the first epoch takes long: the signal comes in its midst."""
    out = tmp_path / "out"
    arguments = ["forecast", small, "--horizon", "60d", "--no-report", *TINY, "--out", out]
    child = process(*arguments, cache=tmp_path / "empty")
    patience = time.monotonic() + 150
    while not (out / "checkpoints" / "latent_ode.safetensors").exists():
        assert time.monotonic() < patience
        time.sleep(0.02)
    time.sleep(1.5)
    child.terminate()
    _, error = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "Stopped before the first epoch was done" in error


def test_a_finished_run_can_be_resumed_and_changes_nothing(isocline, whole):
    before = {name: (whole / name).read_bytes() for name in EXACT}
    ended = isocline("forecast", "--out", whole, "--resume", "--no-report")
    assert ended.code == 0
    assert "epoch" not in ended.err
    assert {name: (whole / name).read_bytes() for name in EXACT} == before


def test_other_settings_do_not_resume(isocline, whole):
    before = {name: (whole / name).read_bytes() for name in EXACT}
    ended = isocline("forecast", "--out", whole, "--resume", "--no-report", "--seed", "5")
    assert ended.code == 2
    assert "belongs to other data or settings" in ended.err
    assert {name: (whole / name).read_bytes() for name in EXACT} == before


def test_a_damaged_checkpoint_is_told(isocline, whole, tmp_path):
    import shutil

    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "checkpoints" / "latent_ode.safetensors").write_bytes(b"junk")
    ended = isocline("forecast", "--out", out, "--resume", "--no-report")
    assert ended.code == 2
    assert "can not be read" in ended.err
    assert same(out, whole)
