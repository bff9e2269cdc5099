"""A run that is stopped or killed goes on exactly where it was."""

from __future__ import annotations

import gc
import json
import signal
import time
from contextlib import suppress

import pytest

from isocline.cli import main
from isocline.cli.interrupts import stoppable
from isocline.cli.progress import progress_of

SMALL = ["--members", "1", "--hidden-size", "8", "--latent-size", "2"]
TINY = ["--epochs", "6", *SMALL]
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


@pytest.mark.slow
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


# So long that no machine is through before the signal comes.
ENDLESS = [*SMALL, "--epochs", "100000", "--patience", "100000"]


def started(process, tmp_path, small, *options):
    """A run whose training begins: its first checkpoint is there, of epoch 0."""
    out = tmp_path / "out"
    arguments = ["forecast", small, "--horizon", "60d", "--no-report", "--out", out]
    child = process(*arguments, *options, cache=tmp_path / "empty")
    patience = time.monotonic() + 150
    while not (out / "checkpoints" / "latent_ode.safetensors").exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < patience
        time.sleep(0.02)
    return child


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.7, 2.0])
def test_a_run_stopped_while_it_compiles_ends_in_order(process, tmp_path, small, delay):
    """With nothing compiled before, the first epoch takes long: the signal comes in its midst.

    Should the exception get lost in there, the run ends after that epoch.
    """
    child = started(process, tmp_path, small, *ENDLESS)
    time.sleep(delay)
    child.terminate()
    _, error = child.communicate(timeout=200)
    assert child.returncode == 1
    assert "error: Stopped" in error
    assert "--resume --no-report" in error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_whose_exception_is_lost_stops_the_run_after_the_epoch(number):
    """As C++ code does that calls back into Python: the exception is dropped, the wish is kept."""
    with stoppable():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(number)
        report = progress_of(quiet=True)
        with pytest.raises(KeyboardInterrupt):
            report({"stage": "latent_ode", "epoch": 1})
        assert report.last["epoch"] == 1
    with stoppable():
        report({"stage": "latent_ode", "epoch": 2})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_garbage_collection_strikes_right_after_it(number):
    """Exceptions in callbacks of the collector are dropped; JAX has such a callback."""
    rung = []

    def callback(phase, _):
        if not rung:
            rung.append(phase)
            signal.raise_signal(number)
            sum(range(99))  # where the handler runs

    gc.callbacks.append(callback)
    try:
        with stoppable(), pytest.raises(KeyboardInterrupt):
            gc.collect()
            time.sleep(5)
    finally:
        gc.callbacks.remove(callback)
    assert rung


class Last:
    """Rings when it goes."""

    number = signal.SIGINT

    def __del__(self):
        signal.raise_signal(self.number)
        sum(range(99))  # where the handler runs


def test_a_signal_in_a_finalizer_strikes_right_after_it():
    with stoppable(), pytest.raises(KeyboardInterrupt):
        Last()
        time.sleep(5)


def test_an_ignored_interrupt_stays_ignored():
    """As in the background of a shell script, where Ctrl-C is for others."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


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
