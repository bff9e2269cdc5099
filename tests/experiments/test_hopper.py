"""The hopper: no test trajectory in the scale, what is read and asked, the errors, a small run."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from isocline.data import hopper as data
from isocline.experiments import hopper as experiment
from isocline.experiments import hopper_tracks as tracks
from isocline.experiments.hopper_baselines import simple_means

FAULT = 500.0


def thrown(count=40, seed=0):
    """Balls in place of hoppers: positions are parabolas, and velocities are their slopes."""
    random = np.random.default_rng(seed)
    t = data.STEP * np.arange(data.POINTS)[:, None]
    start, speed, pull = random.normal(size=(3, count, 1, 7)) * [[[[1]]], [[[1]]], [[[20]]]]
    both = start + speed * t + pull * t**2 / 2, speed + pull * t
    return np.concatenate(both, axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def stage():
    return experiment.stage_of(thrown(), 0)


def test_nothing_of_a_test_trajectory_is_in_what_models_see(stage):
    assert sorted(np.concatenate(list(stage.parts.values()))) == list(range(40))
    values = stage.values.copy()
    for part in ("validation", "test"):
        values[stage.parts[part]] = FAULT
    changed = experiment.stage_of(values, 0)
    train = stage.parts["train"]
    np.testing.assert_array_equal(changed.scaled[train], stage.scaled[train])
    np.testing.assert_array_equal(experiment._weights(changed), experiment._weights(stage))
    assert changed.units.largest.max() == FAULT
    assert (tracks.split(40, 1)["test"] != stage.parts["test"]).any()


@pytest.mark.parametrize("name", tracks.TASKS)
@pytest.mark.parametrize("count", [10, 50])
def test_what_is_read_and_asked_is_where_it_says(stage, name, count):
    task = tracks.TASKS[name]
    context, target = experiment.asked_of(stage.values, stage, name, count)
    start = tracks.asking(task, len(stage.parts["test"]), 0).start
    seen = np.asarray(context.mask)
    assert (seen.sum(axis=1) == count).all()
    assert (np.asarray(context.values)[~seen] == 0).all()
    for index, trajectory in enumerate(stage.parts["test"]):
        own, read = stage.values[trajectory], seen[index, :, 0]
        for times, values in (
            (context.times[index][read], context.values[index][read]),
            (target.times[index], target.values[index]),
        ):
            point = np.round(np.asarray(times) * tracks.WINDOW).astype(int) + task.state
            assert (np.diff(point) > 0).all()
            np.testing.assert_array_equal(values, own[start[index] + point])
    read = np.asarray(context.times)[seen[:, :, 0]]
    asked = np.asarray(target.times)
    if name == "extrapolation":
        assert read.max() <= 0 < asked.min() and asked.max() == 1 and (start == 0).all()
    else:
        assert read.min() >= 0 == asked.min() and len(set(start)) > 2


def test_who_reads_more_reads_the_same_points_too(stage):
    few, many = (
        experiment.asked_of(stage.values, stage, "interpolation", count)[0] for count in (10, 30)
    )
    for trajectory in range(len(few.times)):
        times = (np.asarray(one.times[trajectory]) for one in (few, many))
        seen = (np.asarray(one.mask[trajectory, :, 0]) for one in (few, many))
        less, more = (set(t[on]) for t, on in zip(times, seen, strict=True))
        assert less < more


def test_a_training_batch_has_training_trajectories_only(stage):
    values = np.full_like(stage.scaled, FAULT)
    train = stage.parts["train"]
    values[train] = stage.scaled[train]
    problem = tracks.problem(tracks.TASKS["interpolation"], values, stage.parts, np.ones(14), 32, 0)
    context, target = problem.sample(jax.random.key(0))
    assert np.abs(target.values).max() < FAULT and np.abs(context.values).max() < FAULT
    assert set(np.asarray(context.mask[:, :, 0].sum(axis=1))) == set(tracks.COUNTS)
    first = {float(one) for one in target.values[:, 0, 0]}
    assert len(first) > len(train)  # windows begin anywhere


def test_errors_are_zero_for_the_truth_and_as_the_papers_code_has_them(stage):
    truth = stage.values
    assert tracks.squares(truth, truth, stage.units) == {"mse": 0, "mse_paper": 0}
    off = truth.astype(float)
    off[..., 3] += 0.5
    found = tracks.squares(off, truth, stage.units)
    largest, width = stage.units.largest[3], stage.units.largest[3] - stage.units.least[3]
    assert found["mse_paper"] == pytest.approx((0.5 / largest) ** 2 / 14, rel=1e-5)
    assert found["mse"] == pytest.approx((0.5 / width) ** 2 / 14, rel=1e-5)


def test_cubics_are_exact_on_parabolas_and_lines_on_their_slopes(stage):
    context, target = experiment.asked_of(stage.values, stage, "interpolation", 10)
    times, truth = np.asarray(target.times, float), np.asarray(target.values)
    mean = np.zeros(14)
    found = simple_means("interpolation", context, times, mean, tracks.WINDOW * data.STEP)
    assert (found["training mean"] == 0).all()
    for index in range(len(times)):
        read = np.asarray(context.mask[index, :, 0])
        own = np.asarray(context.times[index], float)[read]
        inside = (times[index] >= own[0]) & (times[index] <= own[-1])
        cubic, line = (
            found[name][index] for name in ("cubics with the velocities", "straight lines")
        )
        np.testing.assert_allclose(cubic[inside], truth[index][inside], atol=2e-4)
        np.testing.assert_allclose(line[inside, 7:], truth[index][inside, 7:], atol=2e-4)
        last = found["last value"][index]
        assert (last[-1] == np.asarray(context.values[index])[read][-1]).all()
        assert (last[0] == np.asarray(context.values[index])[0]).all()
    context, target = experiment.asked_of(stage.values, stage, "extrapolation", 10)
    kept = simple_means("extrapolation", context, np.asarray(target.times), mean, 1.0)
    assert set(kept) == {"training mean", "last value"}
    assert (np.diff(kept["last value"], axis=1) == 0).all()


@pytest.mark.slow
def test_a_run_is_whole_and_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setenv("ISOCLINE_CACHE", str(tmp_path))
    monkeypatch.delenv("ISOCLINE_DATA", raising=False)
    data._keep(tmp_path / "physics" / "hopper" / "stand-123.npy", thrown())
    protocol = experiment.Protocol(
        trajectories=40, encoders=("mtan",), epochs=2, few_epochs=1, rnn_epochs=1, steps=2, batch=8,
        latent_size=2, hidden_size=4, field_depth=1, pieces=4, draws=2,
    )  # fmt: skip
    out = tmp_path / "out"
    result = experiment.run(out, protocol=protocol)
    table = json.loads((out / "results.json").read_text())
    assert len(table["runs"]) == 4 + 2 + 3 + 2
    rows = {(row["task"], row["model"], row["epochs"]): row for row in result["summary"]}
    for task in tracks.TASKS:
        for epochs in (1, 2):
            row = rows[task, "latent ODE, mTAN encoder", epochs]
            assert 0 < float(row["mse_paper_10"]) < np.inf and 0 <= float(row["coverage_90"]) <= 1
    assert ("extrapolation", "GRU", 1) in rows and ("interpolation", "GRU", 1) not in rows
    # Cubics through parabolas leave little but what lies before and after what was read.
    scores = {run["model"]: run["scores"] for run in table["runs"] if run["epochs"] is None}
    cubics, lines = (
        scores[name]["10"]["mse_paper"] for name in ("cubics with the velocities", "straight lines")
    )
    assert 0 < cubics < lines
    for name in ("hopper.png", "hopper.svg", "table.md"):
        assert (out / name).stat().st_size > 100
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    assert experiment.run(out, protocol=protocol)["summary"] == result["summary"]
