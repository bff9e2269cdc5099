"""Long horizons and noise-driven series: what is asked, scores, and runs that are kept."""

from __future__ import annotations

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.experiments import horizons as experiment
from isocline.experiments import horizons_tracks as tracks
from isocline.experiments.horizons_table import DYNAMICS, TRAININGS
from isocline.models import Prediction

SMALL = experiment.Protocol(
    series=12,
    horizons=(2,),
    driven=("well",),
    seeds=1,
    epochs=1,
    noise_epochs=1,
    steps=2,
    batch=4,
    latent_size=2,
    hidden_size=4,
    draws=4,
    fitted={},
)


def test_predators_and_prey_keep_what_they_keep():
    """`exp(u) - u + exp(v) - v` does not change along an orbit; and there is noise on top."""
    parts = tracks.predators(12, 5.0, 16, 0.1, 0)
    path = np.asarray(parts.train.clean, float)
    energy = (np.exp(path) - path).sum(axis=2)
    np.testing.assert_allclose(energy, energy[:, :1] * np.ones(energy.shape[1]), rtol=1e-4)
    assert np.ptp(energy[:, 0]) > 0.1
    noise = np.asarray(parts.train.values - parts.train.clean)
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    assert [len(part.times) for part in parts] == [6, 2, 4]


def test_the_particle_stays_in_its_wells_and_changes_them():
    path = np.asarray(tracks.double_well(60, 5.0, 16, 0.1, 0).train.clean)[..., 0]
    assert np.abs(np.abs(path).mean() - 0.85) < 0.1
    jumps = (np.abs(np.diff(np.sign(path), axis=1)) > 0).any(axis=1).mean()
    assert jumps > 0.5  # over five contexts; and by no means always at once
    assert (np.sign(path[:, 0]) == np.sign(path[:, 15])).mean() > 0.4


@pytest.mark.parametrize("horizon", [1, 3])
def test_nothing_after_the_origin_is_shown_and_nothing_before_it_is_asked(horizon):
    parts = tracks.predators(12, 6.0, 16, 0.1, 0)
    windows = experiment.windows_of(SMALL, experiment.Case("predators", horizon, "plain"))
    problem = tracks.training_problem(parts, windows, 16, 0.0, "rmse")
    context, target = problem.sample(jax.random.key(3))
    seen, asked = np.asarray(context.mask[..., 0]), np.asarray(target.mask[..., 0])
    since, until = np.asarray(context.times), np.asarray(target.times)
    assert (since[seen] <= 0).all() and (since[seen] >= -1).all()
    assert (until[asked] > 0).all() and (until[asked] <= horizon).all()
    assert (np.diff(until, axis=1) >= 0).all()
    assert 8 < seen.sum(axis=1).mean() < 24
    assert asked.sum(axis=1).mean() == pytest.approx(16 * horizon, rel=0.2)
    assert (np.asarray(context.values)[~seen] == 0).all()


class Truth(eqx.Module):
    """A model that knows the wells: stays where it was, as unsure as it is told."""

    std: float

    def predict(self, context, times, key, samples):
        last = context.values[:, :1] * jnp.ones((samples, *times.shape, 1))
        return Prediction(last, jnp.full(last.shape, self.std), last, jnp.zeros(len(times)))


def test_scores_find_a_wrong_width_and_count_only_what_is_there():
    parts = tracks.double_well(60, 5.0, 16, 0.1, 0)
    windows = tracks.Windows(0.02, 20, 40, 4)  # so short that next to nothing changes
    good, _ = tracks.scores(Truth(0.3), parts.test, windows, 8, 0)
    wide, arrays = tracks.scores(Truth(2.0), parts.test, windows, 8, 0)
    assert good["nll"] < wide["nll"] and good["crps"] < wide["crps"]
    assert good["rmse"] == wide["rmse"] < 0.5
    assert wide["coverage"][list(tracks.LEVELS).index(0.5)] > 0.95
    assert good["values"] == np.isfinite(arrays["values"]).sum()


@pytest.mark.slow
def test_a_run_is_whole_and_is_not_done_twice(tmp_path, monkeypatch):
    result = experiment.run(tmp_path, protocol=SMALL)
    kinds = [row["kind"] for row in result["summary"]]
    assert kinds == [*TRAININGS.values(), *DYNAMICS.values()]
    assert all(np.isfinite(row["nll"]) and row["rmse"] > 0 for row in result["summary"])
    for name in ("results.json", "table.md", "horizons.png", "horizons.svg"):
        assert (tmp_path / name).stat().st_size > 100
    written = json.loads((tmp_path / "results.json").read_text())
    assert len(written["runs"]) == 5 and "examples" not in written["runs"][0]
    monkeypatch.setattr(experiment, "train", lambda *_, **__: pytest.fail("trained again"))
    assert experiment.run(tmp_path, protocol=SMALL)["summary"] == result["summary"]
