"""The training loop: it learns, stops, skips what is broken, and resumes to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.train import Checkpoint, Problem, Settings, train
from isocline.train.checkpoint import write_bytes

SETTINGS = Settings(epochs=4, steps=5, learning_rate=0.05, patience=None, weight_decay=0.0)


class Line(eqx.Module):
    """y = a x + b, and a leaf that is not trained."""

    a: jax.Array
    b: jax.Array
    label: str = eqx.field(static=True)


def line():
    return Line(jnp.array(0.0), jnp.array(0.0), "line")


def batch(key):
    x = jax.random.normal(key, (16,))
    return x, 2 * x + 1


def squared(model, pair, key, kl_weight):
    x, y = pair
    noise = 0.01 * jax.random.normal(key, x.shape)
    value = jnp.mean((model.a * x + model.b + noise - y) ** 2)
    return value, {"kl_weight": kl_weight}


def distance(model):
    return (model.a - 2) ** 2 + (model.b - 1) ** 2


PROBLEM = Problem(batch, squared, distance)


class Stop(Exception):
    """What a user's Ctrl-C is to the loop."""


def stopping_after(epoch):
    def progress(row):
        if row["epoch"] == epoch:
            raise Stop

    return progress


def weights(trained):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(trained.model, eqx.is_array))]


def untimed(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


@pytest.mark.core
def test_training_finds_the_minimum():
    trained = train(line(), PROBLEM, replace(SETTINGS, epochs=20, steps=20), seed=0)
    np.testing.assert_allclose([trained.model.a, trained.model.b], [2, 1], atol=0.02)
    assert [row["epoch"] for row in trained.history] == list(range(1, 21))
    assert trained.best_epoch == 1 + int(np.argmin([row["validation"] for row in trained.history]))


@pytest.mark.core
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(tmp_path, epoch):
    whole = train(line(), PROBLEM, SETTINGS, seed=7)
    kept = Checkpoint(tmp_path / "state", "same")
    with pytest.raises(Stop):
        train(line(), PROBLEM, SETTINGS, seed=7, checkpoint=kept, progress=stopping_after(epoch))
    resumed = train(line(), PROBLEM, SETTINGS, seed=7, checkpoint=kept, resume=True)
    for found, expected in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert untimed(resumed.history) == untimed(whole.history)
    assert resumed.best_epoch == whole.best_epoch


def test_without_resume_a_checkpoint_is_replaced(tmp_path):
    kept = Checkpoint(tmp_path / "state", "same")
    train(line(), PROBLEM, SETTINGS, seed=1, checkpoint=kept)
    again = train(line(), PROBLEM, SETTINGS, seed=7, checkpoint=kept)
    assert len(again.history) == SETTINGS.epochs
    for found, expected in zip(
        weights(again), weights(train(line(), PROBLEM, SETTINGS, seed=7)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_seeds_matter():
    assert weights(train(line(), PROBLEM, SETTINGS, seed=0)) != weights(
        train(line(), PROBLEM, SETTINGS, seed=1)
    )


@pytest.mark.parametrize("broken", ["some", "all"])
def test_steps_without_a_finite_loss_change_nothing(broken):
    def loss(model, pair, key, kl_weight):
        value, parts = squared(model, pair, key, kl_weight)
        bad = (pair[0][0] > 0) if broken == "some" else True
        return jnp.where(bad, jnp.nan, value), parts

    trained = train(line(), PROBLEM._replace(loss=loss), SETTINGS, seed=0)
    skipped = [row["skipped"] for row in trained.history]
    assert all(np.isfinite(leaf).all() for leaf in weights(trained))
    if broken == "all":
        assert skipped == [1.0] * SETTINGS.epochs
        assert [float(leaf) for leaf in weights(trained)] == [0.0, 0.0]
    else:
        assert 0 < np.mean(skipped) < 1
        assert float(distance(trained.model)) < float(distance(line()))


def test_training_stops_when_validation_does_not_improve():
    scores = Problem(batch, squared, lambda model: -distance(model))
    trained = train(line(), scores, replace(SETTINGS, epochs=30, patience=2), seed=0)
    # Validation gets worse from the second epoch on; the first one is the best.
    assert trained.best_epoch == 1
    assert len(trained.history) == 1 + 2 + 1
    # What comes back is the model of that epoch, not the last one.
    assert float(-distance(trained.model)) == pytest.approx(trained.history[0]["validation"])


def test_validation_that_is_never_a_number_finds_no_best():
    trained = train(
        line(), PROBLEM._replace(validate=lambda model: model.a * jnp.nan), SETTINGS, seed=0
    )
    assert trained.best_epoch == 0


def test_the_kl_weight_rises_to_its_value():
    settings = replace(SETTINGS, kl_weight=0.3, anneal=0.5)
    ramp = [row["kl_weight"] for row in train(line(), PROBLEM, settings, seed=0).history]
    assert ramp == sorted(ramp) and ramp[0] < 0.1
    assert ramp[-1] == pytest.approx(0.3)


def test_running_average_of_weights():
    settings = replace(SETTINGS, epochs=1, steps=1)
    plain = train(line(), PROBLEM, replace(settings, epochs=1, steps=3), seed=0).model
    slow = train(line(), PROBLEM, replace(settings, epochs=1, steps=3, average=0.9), seed=0).model
    assert 0 < float(slow.b) < float(plain.b)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    train(line(), PROBLEM, SETTINGS, seed=0, checkpoint=Checkpoint(tmp_path / "state", "one"))
    with pytest.raises(InputError, match="other data or settings"):
        train(
            line(),
            PROBLEM,
            SETTINGS,
            seed=0,
            checkpoint=Checkpoint(tmp_path / "state", "two"),
            resume=True,
        )


@pytest.mark.parametrize("damage", ["cut", "empty", "junk"])
@pytest.mark.core
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "state"
    kept = Checkpoint(path, "same")
    train(line(), PROBLEM, SETTINGS, seed=0, checkpoint=kept)
    content = path.read_bytes()
    path.write_bytes(
        {"cut": content[: len(content) // 2], "empty": b"", "junk": b"junk" * 50}[damage]
    )
    with pytest.raises(InputError, match="can not be read"):
        train(line(), PROBLEM, SETTINGS, seed=0, checkpoint=kept, resume=True)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path):
    kept = Checkpoint(tmp_path / "state", "same")
    kept.write({"w": jnp.zeros(3)}, {})
    with pytest.raises(InputError, match="does not fit the model"):
        kept.read({"w": jnp.zeros(4)})


class Killed(BaseException):
    """The process dies: nothing may catch this."""


@pytest.mark.core
@pytest.mark.parametrize("place", ["fsync", "replace"])
def test_a_write_that_dies_leaves_the_old_file_whole(tmp_path, monkeypatch, place):
    path = tmp_path / "state"
    write_bytes(path, b"old")

    def die(*args):
        raise Killed

    if place == "fsync":
        monkeypatch.setattr("os.fsync", die)
    else:
        monkeypatch.setattr("pathlib.Path.replace", die)
    with pytest.raises(Killed):
        write_bytes(path, b"new and longer")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from isocline.train.checkpoint import write_bytes
path = Path(sys.argv[1])
write_bytes(path, b"a" * 1_000_000)
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(path, b"b" * 1_000_000)
"""


def test_a_killed_process_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "state"
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"a" * 1_000_000


def test_steps_one_by_one_are_those_of_an_epoch_in_one_call():
    whole = train(line(), PROBLEM, SETTINGS, seed=3)
    for together in (1, 2, 5):
        parts = train(line(), PROBLEM, replace(SETTINGS, together=together), seed=3)
        for one, other in zip(weights(whole), weights(parts), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_an_order_shows_each_example_once_an_epoch():
    seen = []

    def sample(key, chosen):
        jax.debug.callback(lambda chosen: seen.extend(chosen.tolist()), chosen)
        return batch(key)

    def order(key):
        return jax.random.permutation(key, 20).reshape(5, 4)

    train(line(), PROBLEM._replace(sample=sample, order=order), SETTINGS, seed=0)
    jax.effects_barrier()
    epochs = np.array(seen).reshape(SETTINGS.epochs, 20)
    assert (np.sort(epochs, axis=1) == np.arange(20)).all()
    assert not (epochs[0] == epochs[1]).all()


def test_validation_may_tell_more():
    def told(model):
        return distance(model), {"slope": model.a}

    trained = train(line(), PROBLEM._replace(validate=told), SETTINGS, seed=0)
    assert trained.history[-1]["slope"] == pytest.approx(float(trained.last.a))


def test_an_average_that_catches_up_forgets_the_untrained_weights():
    slow = replace(SETTINGS, average=0.999, epochs=20, steps=20)
    behind = train(line(), PROBLEM, slow, seed=0).last
    caught_up = train(line(), PROBLEM, replace(slow, catch_up=True), seed=0).last
    assert distance(caught_up) < 0.01 < distance(behind)


def test_another_training_of_the_same_kind_compiles_nothing():
    traced = []

    def loss(*given):
        traced.append(1)
        return squared(*given)

    problem = PROBLEM._replace(loss=loss)
    train(line(), problem, SETTINGS, seed=0)
    once = len(traced)
    train(line(), problem, SETTINGS, seed=1)
    assert len(traced) == once > 0
