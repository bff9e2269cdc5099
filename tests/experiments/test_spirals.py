"""The spirals: what a model is shown and asked, the scores, and runs that are not done twice."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.data.spirals import spirals
from isocline.experiments import spirals as experiment
from isocline.experiments import spirals_cases, spirals_run
from isocline.experiments.spirals_cases import Case, Protocol, all_cases, plan
from isocline.experiments.spirals_scores import scores, scores_backwards
from isocline.experiments.spirals_taught import one_ahead, taught_loss
from isocline.experiments.spirals_tracks import SCALE, Draws, backcast, training_problem
from isocline.experiments.spirals_walk import STEPS, turns_clockwise, walk
from isocline.models import Context, GRUForecaster, LatentODE

NOISE = 0.1
TINY = Protocol(
    curves=20,
    other_noise=(),
    observations=(30,),
    seeds=1,
    epochs=1,
    steps=1,
    batch=4,
    hidden_size=4,
    latent_size=2,
)


@pytest.fixture(scope="module")
def data():
    return spirals(curves=40, noise=NOISE, observations=30, seed=3)


def test_nothing_after_the_cut_is_shown_and_nothing_before_it_is_asked(data):
    problem = training_problem(data, NOISE, 16, 0.0, 3)
    context, target = problem.sample(jax.random.key(1))
    seen, asked = np.asarray(context.mask[..., 0]), np.asarray(target.mask[..., 0])
    assert (np.asarray(context.times)[seen] <= 0).all()
    assert (np.asarray(target.times)[asked] > 0).all()
    # All 30 + 30 points of a curve are known or asked, but no more are known than a window has.
    assert (seen.sum(axis=1) == np.minimum(60 - asked.sum(axis=1), 30)).all()
    assert seen.sum(axis=1).min() < 30
    assert (np.asarray(context.values)[~seen] == 0).all()


def test_the_truth_scores_zero_and_a_wrong_width_is_found(data):
    """Draws that are the truth with the noise's own width: no error, and 90 % inside."""
    clean = data.future[data.test]
    sharp = Draws(np.stack([clean, clean]), np.full((2, *clean.shape), NOISE), 0.0)
    found = scores(sharp, data, data.test, NOISE, 3)
    assert found["rmse"] == found["median_curve"] == 0
    assert found["coverage_90"] == pytest.approx(0.9, abs=0.03)
    assert found["nll"] == pytest.approx(np.log(NOISE) + 0.5 * np.log(2 * np.pi * np.e), abs=0.05)
    shifted = Draws(sharp.mean + SCALE, sharp.std, 0.0)
    assert scores(shifted, data, data.test, NOISE, 3)["rmse"] == pytest.approx(SCALE)
    wide = Draws(sharp.mean, 3 * sharp.std, 0.0)
    assert scores(wide, data, data.test, NOISE, 3)["nll"] > found["nll"] + 0.5


def test_both_ways_all_before_the_cut_is_asked_from_the_last_to_the_first(data):
    problem = training_problem(data, NOISE, 16, 0.0, 3, both_ways=True)
    context, ahead, behind = problem.sample(jax.random.key(1))
    seen, asked = np.asarray(context.mask[..., 0]), np.asarray(behind.mask[..., 0])
    times = np.asarray(behind.times)
    assert (times[asked] <= 0).all() and (np.diff(times, axis=1) <= 0).all()
    assert (np.asarray(ahead.times)[np.asarray(ahead.mask[..., 0])] > 0).all()
    assert (seen.sum(axis=1) == 30).all()  # each window has a past
    # What was read is asked first, then as much again of what came before it.
    assert (asked.sum(axis=1) == np.minimum(90 - np.asarray(ahead.mask[..., 0]).sum(1), 60)).all()
    for place in range(16):
        read = np.asarray(context.values)[place, ::-1]
        np.testing.assert_array_equal(np.asarray(behind.values)[place, :30], read)


@pytest.mark.slow
def test_one_ahead_nothing_is_said_from_what_comes_later(data):
    """What an RNN is taught is what it says when it is rolled from there."""
    model = GRUForecaster(2, 5, key=jax.random.key(0), cell="tanh")
    context, _ = training_problem(data, NOISE, 6, 0.0, 3).sample(jax.random.key(1))
    said, following = one_ahead(model, context)
    np.testing.assert_array_equal(following.values, context.values[:, 1:])
    known = np.asarray(context.mask[..., 0]).sum(axis=1)
    for place, last in ((0, 3), (1, int(known[1]) - 1)):
        before = jax.tree.map(lambda leaf, k=place, n=last: leaf[k : k + 1, :n], context)
        before = Context(before.times, before.values, before.mask, context.phase[:1])
        rolled = model.decode(before, context.times[place : place + 1, last : last + 1])
        for one, other in ((said.mean, rolled.mean), (said.std, rolled.std)):
            np.testing.assert_allclose(one[place, last - 1], other[0, 0], rtol=1e-4, atol=1e-6)
    compute = eqx.filter_value_and_grad(taught_loss, has_aux=True)
    batch = training_problem(data, NOISE, 6, 0.0, 3).sample(jax.random.key(1))
    (value, _), gradient = compute(model, batch, jax.random.key(2), 0.0)
    alone, _ = model.loss(*batch, jax.random.key(2), 0.0)
    assert value != alone and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


class Prediction(NamedTuple):
    mean: jax.Array
    std: jax.Array
    latent: jax.Array
    nfe: jax.Array


class Turning:
    """A model that goes round a circle, a radian a window."""

    def predict(self, context, times, key, samples):
        circle = jnp.stack([jnp.cos(times), jnp.sin(times)], axis=-1)[None]
        return Prediction(circle, 0 * circle + 1, circle, jnp.ones(len(times)))


def test_what_came_before_is_told_in_the_order_of_time(data):
    """The past ends where the window begins: both meet the observations of the window's points."""
    found = backcast(Turning(), data, data.test)
    assert found.mean.shape == (1, len(data.test), 200, 2)
    angles = np.unwrap(np.arctan2(found.mean[0, 0, :, 1], found.mean[0, 0, :, 0]))
    np.testing.assert_allclose(angles - angles[-1], np.arange(-199, 1) / 100, atol=1e-5)
    both = np.concatenate([data.past, data.future], axis=1)[data.test]
    perfect = Draws(both[None], np.ones_like(both)[None], 0.0)
    assert scores_backwards(perfect, data, data.test)["rmse_backwards"] == 0
    off = scores_backwards(Draws(perfect.mean + 1.0, perfect.std, 0.0), data, data.test)
    assert off["rmse_backwards"] == off["median_backwards"] == pytest.approx(1)


def test_runs_that_are_kept_are_still_those_that_are_asked_for():
    """Scores of before the grid grew count: what is in the repository need not be done again."""
    kept = Path(__file__).parents[2] / "results" / "spirals" / "runs"
    if not kept.is_dir():
        pytest.skip("the results are not part of a source distribution")
    names = {case.run_name(""): case for case in all_cases(Protocol())}
    for path in [*kept.glob("latent_ode*.json"), *kept.glob("gru*.json")]:
        name, seed = path.stem.rsplit("-", 1)
        identity = names[f"{name}-"].identity(Protocol(), int(seed))
        assert json.loads(path.read_text())["identity"] == identity, path.name


def test_what_matters_most_comes_first_and_any_stage_may_be_the_last():
    stages = plan(Protocol(), None)
    assert {case.kind for case, _ in stages[0]} == set(spirals_cases.MAIN)
    assert {(case.observations, seed) for case, seed in stages[0]} == {
        (n, seed) for n in (30, 50, 100) for seed in range(5)
    }
    assert all(seed == 0 for stage in stages[1:] for _, seed in stage)
    assert sum(map(len, stages)) == len(all_cases(Protocol())) + 36
    # With seeds, everything has them all, and begins in the same way.
    whole = plan(Protocol(), range(5))
    assert whole[: len(stages)] == stages
    runs = list(chain(*whole))
    assert len(set(runs)) == len(runs) == 5 * len(all_cases(Protocol()))
    assert list(chain(*plan(Protocol(), [7]))) == [(case, 7) for case in all_cases(Protocol())]


def test_the_table_shows_what_is_done_with_its_seeds(tmp_path, monkeypatch):
    """Also runs that nobody asked for this time; and none of another protocol."""

    def pretend(out, protocol, case, seed, progress, *, keep=False):
        one = dict.fromkeys(experiment.SCORES, 1.0 + seed) | {"seconds": 1.0, "seed": seed}
        one |= {"case": list(case), "identity": case.identity(protocol, seed)}
        one |= {"examples": None} | ({"rmse_backwards": 3.0} if case.is_latent and seed else {})
        (out / "runs").mkdir(exist_ok=True)
        (out / "runs" / f"{case.run_name(seed)}.json").write_text(json.dumps(one))

    monkeypatch.setattr(experiment, "run_case", pretend)
    monkeypatch.setattr(experiment, "_draw", lambda *_: [])
    case = Case("latent_ode", NOISE, 30)
    for seed, protocol in ((1, TINY), (4, TINY), (2, Protocol())):
        pretend(tmp_path, protocol, case, seed, None)
    result = experiment.run(tmp_path, protocol=TINY)
    rows = {row["model"]: row for row in result["summary"]}
    assert [row["seeds"] for row in rows.values()] == [1, 1, 3] + [1] * (len(rows) - 3)
    assert rows["latent ODE"]["rmse"] == pytest.approx((1 + 2 + 5) / 3)
    assert rows["latent ODE"]["rmse_backwards"] == 3
    assert rows["RNN"]["rmse_backwards"] is None
    assert rows["RNN"]["paper"] == experiment.PAPER["rnn"][30]


def test_a_turn_has_a_sense():
    angle = np.linspace(0, 7, 50)
    left = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    found = turns_clockwise(np.stack([left, left[::-1], left * [1, -1], 3 - left]))
    np.testing.assert_array_equal(found, [False, True, True, False])


@pytest.mark.slow
def test_the_walk_goes_both_ways_along_principal_directions(data):
    model = LatentODE(2, 3, 4, "rnn", key=jax.random.key(0), noise="constant")
    found = walk(model, data)
    assert found.curves.shape == (len(found.names), len(STEPS), 100, 2)
    assert found.names[0] == "principal direction 1" and 1 / 3 < found.shares[0] <= 1
    assert found.apart[-1] == max(found.apart) or len(found.names) == 1
    steps = np.linalg.norm(np.diff(found.curves[:, :, 0], axis=1), axis=-1)
    assert (steps > 0).all()  # each state is another
    assert len(found.rows()[0]["clockwise"]) == len(STEPS)


@pytest.mark.slow
def test_a_run_is_whole_and_is_not_done_twice(tmp_path, monkeypatch):
    kinds = ("rnn", "latent_ode", "latent_ode_both")
    protocol = replace(TINY, kinds=kinds)
    result = experiment.run(tmp_path, protocol=protocol)
    assert [row["model"] for row in result["summary"]] == [
        experiment.KINDS[kind].title for kind in kinds
    ]
    for row in result["summary"]:
        assert (row["rmse_backwards"] is not None) == row["model"].startswith("latent ODE")
    for name in ("results.json", "table.md", "spirals.png", "both_ways.svg", "walk.png"):
        assert (tmp_path / name).stat().st_size > 100
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["runs"]) == len(kinds) and written["walk"][0]["steps"]
    monkeypatch.setattr(spirals_run, "train", lambda *_, **__: pytest.fail("trained again"))
    assert experiment.run(tmp_path, protocol=protocol)["summary"] == result["summary"]
    # The figures are drawn from what is kept; without the model, its run is done again.
    (tmp_path / "models" / "latent_ode-0.1-30-0" / "config.json").unlink()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        experiment.run(tmp_path, protocol=protocol)
