"""The spirals: what a model is shown and asked, the scores, and a run that is not done twice."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from isocline.data.spirals import spirals
from isocline.experiments import spirals as experiment
from isocline.experiments.spirals_tracks import SCALE, Draws, scores, training_problem

NOISE = 0.1


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


@pytest.mark.slow
def test_a_run_is_whole_and_is_not_done_twice(tmp_path, monkeypatch):
    protocol = experiment.Protocol(
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
    result = experiment.run(tmp_path, protocol=protocol)
    assert [row["model"] for row in result["summary"]] == [
        kind.title for kind in experiment.KINDS.values()
    ]
    assert result["summary"][0]["paper"] == experiment.PAPER["rnn"][30]
    for name in ("results.json", "table.md", "spirals.png", "spirals.svg"):
        assert (tmp_path / name).stat().st_size > 100
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["runs"]) == len(experiment.KINDS)
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    assert experiment.run(tmp_path, protocol=protocol)["summary"] == result["summary"]
