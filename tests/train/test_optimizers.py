"""Optimizers by name: steps of equal size, and training that resumes to the bit with each."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.train import OPTIMIZERS, Checkpoint, Problem, Settings, train
from isocline.train.optimizers import optimizer

# A regression whose directions, none of them an axis, matter by very different amounts.
MIX = jnp.linalg.qr(jax.random.normal(jax.random.key(3), (8, 8)))[0] * jnp.logspace(-2, 0, 8)
GOAL = jax.random.normal(jax.random.key(0), (8, 8))


def model():
    return eqx.nn.Linear(8, 8, key=jax.random.key(1))


def error(linear, x):
    return jnp.mean((jax.vmap(linear)(x @ MIX.T) - (x @ MIX.T) @ GOAL.T) ** 2)


def distance(linear):
    return jnp.sqrt(jnp.mean((linear.weight - GOAL) ** 2))


PROBLEM = Problem(
    lambda key: jax.random.normal(key, (64, 8)),
    lambda linear, x, key, weight: (error(linear, x), {}),
    distance,
)


def settings(name):
    given = {"epochs": 4, "steps": 50, "learning_rate": 0.1, "weight_decay": 0.0, "patience": None}
    return Settings(optimizer=name, **given)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_resumes_to_the_bit(name, tmp_path):
    whole = train(model(), PROBLEM, settings(name), seed=0)
    kept = Checkpoint(tmp_path / "state", "same")

    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(), PROBLEM, settings(name), seed=0, checkpoint=kept, progress=stop)
    resumed = train(model(), PROBLEM, settings(name), seed=0, checkpoint=kept, resume=True)
    np.testing.assert_array_equal(resumed.last.weight, whole.last.weight)
    np.testing.assert_array_equal(resumed.last.bias, whole.last.bias)


def test_muon_learns_directions_that_hardly_matter():
    far = {name: train(model(), PROBLEM, settings(name), seed=0).history for name in OPTIMIZERS}
    assert far["muon"][-1]["validation"] < 0.7 * far["adamw"][-1]["validation"]


def test_updates_of_muon_are_orthogonal_and_as_large_as_those_of_adam():
    steps = optimizer("muon", learning_rate=1.0, total=20, clip=1e9, weight_decay=0.0)
    parameters = {"matrix": jnp.zeros((64, 16)), "shift": jnp.zeros(16)}
    gradient = {"matrix": jax.random.normal(jax.random.key(0), (64, 16)), "shift": jnp.ones(16)}
    state = steps.init(parameters)
    for _ in range(2):  # the rate of the very first step is zero
        updates, state = steps.update(gradient, state, parameters)
    values = np.linalg.svd(updates["matrix"], compute_uv=False)
    assert values.max() < 2 * values.min()
    assert np.linalg.cond(gradient["matrix"]) > 2
    assert np.sqrt(np.mean(updates["matrix"] ** 2)) == pytest.approx(0.2, rel=0.3)
    np.testing.assert_allclose(updates["shift"], -1, rtol=0.2)
