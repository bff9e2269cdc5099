"""The stays: no test stay in the scale, what is read and asked, the scores, and a small run."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.data.physionet import VARIABLES, Stays
from isocline.experiments import physionet as experiment
from isocline.experiments import physionet_tracks as tracks
from isocline.experiments.physionet_baselines import simple_means, summaries

HR, AGE = VARIABLES.index("HR"), VARIABLES.index("Age")
FAULT = 500.0


def made_stays(count=40, seed=0):
    """Ages at admission, then heart rates at random minutes; those who die have fast hearts."""
    rng = np.random.default_rng(seed)
    died = np.arange(count) % 4 == 0
    rows = []
    for stay in range(count):
        minutes = np.sort(rng.choice(np.arange(1, 2880), rng.integers(8, 20), replace=False))
        rates = 80 + 30 * died[stay] + 5 * rng.normal(size=len(minutes))
        first = [(0, AGE, 60.0 + stay % 7)]
        rows.append(np.array(first + list(zip(minutes, [HR] * len(minutes), rates))))
    joined = np.concatenate(rows)
    start = np.concatenate([[0], np.cumsum([len(one) for one in rows])])
    columns = joined[:, 0].astype(int), joined[:, 1].astype(int), joined[:, 2].astype(np.float32)
    return Stays(np.arange(count), start, *columns, died)


@pytest.fixture(scope="module")
def rows():
    return tracks.rows_of(made_stays())


def test_rows_hold_every_observation_and_average_a_minute():
    stays = made_stays(4)
    double = stays._replace(minutes=np.where(stays.minutes > 0, 30, 0))
    whole, merged = tracks.rows_of(stays), tracks.rows_of(double)
    assert whole.mask.sum() == len(stays.values)
    assert merged.mask.sum() == 8 and merged.times.shape == (4, 2)
    for stay in range(4):
        own = slice(stays.start[stay], stays.start[stay + 1])
        rates = stays.values[own][stays.variable[own] == HR]
        assert merged.values[stay, 1, HR] == pytest.approx(rates.mean(), rel=1e-5)
        seen = whole.mask[stay, :, HR]
        np.testing.assert_array_equal(whole.values[stay, seen, HR], rates)
        np.testing.assert_allclose(whole.times[stay, seen] * 2880, stays.minutes[own][1:])


def test_nothing_of_a_test_stay_is_in_the_scale(rows):
    parts = tracks.split(len(rows.times), 0)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(rows.times)))
    values = rows.values.copy()
    for part in ("validation", "test"):
        values[parts[part]] = FAULT
    changed = tracks.Rows(rows.times, values, rows.mask, rows.died)
    for own, other in zip(
        tracks.fit_scale(rows, parts["train"]), tracks.fit_scale(changed, parts["train"])
    ):
        np.testing.assert_array_equal(own, other)
    assert (tracks.split(40, 1)["test"] != parts["test"]).any()


@pytest.mark.parametrize("task", tracks.TASKS)
def test_what_is_scored_is_not_read(rows, task):
    scaled = tracks.scaled(rows, tracks.fit_scale(rows, np.arange(30)))
    hidden = tracks.hidden_rows(scaled, 0.5, 0)
    assert not hidden[:, 0].any() and 0.3 < hidden.sum() / scaled.mask.any(axis=2).sum() < 0.5
    context, target, scored = tracks.ask(task, scaled, jnp.asarray(hidden))
    read, scored = np.asarray(context.mask).any(axis=2), np.asarray(scored)
    there = np.asarray(target.mask).any(axis=2)
    assert not np.asarray(target.mask)[:, :, AGE].any()  # a descriptor is read and not asked
    assert np.asarray(context.mask)[:, 0, AGE].all()
    assert (np.asarray(context.values)[~np.asarray(context.mask)] == 0).all()
    if task == "mortality":
        assert (read == np.asarray(scaled.mask).any(axis=2)).all()
    else:
        assert not (read & scored & there).any()
        assert (read | scored)[there].all()
    if task == "extrapolation":
        assert np.asarray(scaled.times)[read].max() <= 0.5


def test_a_training_batch_has_rows_of_training_stays_only(rows):
    parts = {name: jnp.asarray(part) for name, part in tracks.split(40, 0).items()}
    died = np.zeros(40, np.int32)
    died[np.asarray(parts["train"])] = 1
    marked = jax.tree.map(jnp.asarray, tracks.Rows(rows.times, rows.values, rows.mask, died))
    problem = tracks.problem("interpolation", marked, parts, (16, 6), 0)
    context, target, labels = problem.sample(jax.random.key(0))
    assert labels.all() and target.times.shape == (16, 6)
    assert (np.diff(target.times, axis=1)[:, :3] >= 0).all()
    assert np.asarray(context.mask)[:, 0, AGE].all()


def test_scores_are_zero_for_the_truth_and_as_the_papers_code_has_them(rows):
    scale, units = tracks.fit_scale(rows, np.arange(40)), tracks.paper_units(rows)
    truth = (rows.values - scale.mean) / scale.std
    scored = np.ones(rows.times.shape, bool)
    found = tracks.squares(truth, rows, scored, scale, units)
    assert found == pytest.approx({"mse": 0, "mse_paper": 0, "rmse": 0}, abs=1e-5)
    # One beat too many: in the paper's units 1 / largest, one channel of 41 in every stay.
    off = truth + 1 / scale.std
    found = tracks.squares(off, rows, scored, scale, units)
    assert found["mse_paper"] == pytest.approx(units.largest[HR] ** -2.0 / 41, rel=1e-3)
    width = units.largest[HR] - units.least[HR]
    assert found["mse"] == pytest.approx(width**-2.0, rel=1e-3)
    assert found["rmse"] == pytest.approx(1 / scale.std[HR], rel=1e-3)


def test_the_auc_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    died = rng.integers(0, 2, 50)
    chance = np.round(rng.random(50) + 0.3 * died, 1)  # with ties
    found = tracks.auc(jnp.asarray(chance, jnp.float32), jnp.asarray(died))
    assert float(found) == pytest.approx(metrics.roc_auc_score(died, chance), abs=1e-6)


def test_baselines_carry_what_was_read(rows):
    scaled = tracks.scaled(rows, tracks.fit_scale(rows, np.arange(40)))
    none = jnp.zeros(rows.times.shape, bool)
    context, _, _ = tracks.ask("extrapolation", scaled, none)
    found = simple_means(context, np.asarray(scaled.times))
    read = np.asarray(context.mask)[0, :, HR]
    own = np.asarray(context.values)[0, read, HR]
    assert found["last value"][0, -1, HR] == own[-1] == found["straight line"][0, -1, HR]
    assert found["patient's mean"][0, 3, HR] == pytest.approx(own.mean(), rel=1e-5)
    assert (found["training mean"] == 0).all()
    context, target, _ = tracks.ask("mortality", scaled, none)
    repeated = simple_means(context, np.asarray(target.times))["last value"]
    seen = np.asarray(target.mask)
    np.testing.assert_allclose(repeated[seen], np.asarray(target.values)[seen], atol=1e-6)
    assert summaries(rows).shape == (40, 8 * tracks.CHANNELS)


@pytest.mark.slow
def test_a_run_is_whole_and_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "load_physionet", made_stays)
    learning = {task: own | {"epochs": 1} for task, own in experiment.LEARNING.items()}
    protocol = experiment.Protocol(
        learning, ("mtan",), seeds=1, batch=8, rows=8, latent_size=2, hidden_size=4
    )
    result = experiment.run(tmp_path, protocol=protocol)
    table = json.loads((tmp_path / "results.json").read_text())
    assert {row["task"] for row in result["summary"]} == set(tracks.TASKS)
    assert [row["auc"] for row in result["summary"] if row["model"].startswith("mTAND")] == [
        "0.858"
    ]
    assert len(table["runs"]) == 3 + 4 + 3 + 2
    for name in ("physionet.png", "physionet.svg", "table.md"):
        assert (tmp_path / name).stat().st_size > 100
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    assert experiment.run(tmp_path, protocol=protocol)["summary"] == result["summary"]
