"""`isocline bench latent`: everyone learns from the same observations, and is scored alike."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from isocline.data.spirals import WINDOW, spirals
from isocline.experiments import bench_latent
from isocline.experiments.bench.torch_latent import EXAMPLE, RUBANOVA, make_trainer
from isocline.experiments.spirals_tracks import SCALE, training_problem

NOISE = 0.1


def test_the_grid_holds_what_the_windows_hold():
    data = spirals(curves=20, noise=NOISE, observations=30, seed=3)
    grid = bench_latent.grid_of(data, data.train, NOISE, 3)
    assert grid.mask[:, :WINDOW].sum() == grid.mask[:, WINDOW:].sum() == 30 * len(data.train)
    validate = training_problem(data, NOISE, 4, 0.0, 3).validate
    tracks = bench_latent.grid_of(data, data.validation, NOISE, 3)
    later = np.asarray(validate.args[0].values)[:, 30:]
    first = tracks.values[0, :WINDOW][tracks.mask[0, :WINDOW]]
    np.testing.assert_allclose(SCALE * first, data.values[data.validation[0]], rtol=1e-5)
    for curve, expected in enumerate(later):
        found = tracks.values[curve, WINDOW:][tracks.mask[curve, WINDOW:]]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchdiffeq") is None, reason="torchdiffeq is not installed")
@pytest.mark.parametrize("recipe", [EXAMPLE, RUBANOVA])
def test_the_public_codes_learn(recipe):
    data = spirals(curves=20, noise=NOISE, observations=30, seed=3)
    grid = bench_latent.grid_of(data, data.train, NOISE, 3)
    epoch, predict = make_trainer(recipe, grid, 0)
    before = predict(grid)
    for _ in range(15):
        epoch()
    after = predict(grid)
    assert after.shape == grid.values.shape
    errors = [np.mean((found - grid.values)[grid.mask] ** 2) for found in (before, after)]
    assert errors[1] < errors[0]


@pytest.mark.slow
def test_a_run_leaves_a_table(tmp_path):
    bench_latent.run(tmp_path, protocol=replace(bench_latent.QUICK, seconds=0.1))
    rows = json.loads((tmp_path / "results.json").read_text())["summary"]
    assert [row["name"] for row in rows][-len(bench_latent.OURS) :] == list(bench_latent.OURS)
    assert all(row["rmse"] > 0 and row["epoch_seconds"] > 0 for row in rows)
