"""Densities on the plane: their samples, integrals and entropies agree."""

from __future__ import annotations

import numpy as np
import pytest

from isocline.data import plane_densities, plane_density
from isocline.errors import InputError

# Entropies as others have computed them, +- 0.005.
KNOWN = {
    "circles": 0.792, "wide circles": 3.272, "moons": 2.401, "8 gaussians": 2.834,
    "checkerboard": np.log(32),
}  # fmt: skip


def grid(extent, points):
    axis = extent * (2 * (np.arange(points) + 0.5) / points - 1)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), (2 * extent / points) ** 2


@pytest.mark.parametrize("name", plane_densities())
def test_densities_integrate_to_one_and_have_their_entropy(name):
    density = plane_density(name)
    points, area = grid(density.extent, 180)
    values = np.concatenate([density.log_prob(part) for part in np.array_split(points, 40)])
    assert np.sum(np.exp(values)) * area == pytest.approx(1, abs=2e-3)
    # The integral of -p log p, and its estimate from samples: two ways to one number.
    there = np.isfinite(values)
    exact = -np.sum(np.exp(values[there]) * values[there]) * area
    found, error = density.entropy(20_000)
    assert abs(found - exact) < 4.5 * error + 0.01
    if name in KNOWN:
        assert found == pytest.approx(KNOWN[name], abs=4.5 * error + 0.006)


@pytest.mark.parametrize("name", plane_densities())
def test_samples_are_of_the_density(name):
    """Cells of a coarse grid hold the samples that the density says."""
    density, count = plane_density(name), 20_000
    sample = density.sample(count, np.random.default_rng(0))
    points, area = grid(density.extent, 176)
    values = np.exp(np.concatenate([density.log_prob(p) for p in np.array_split(points, 40)]))
    coarse = values.reshape(22, 8, 22, 8).sum(axis=(1, 3)) * area
    edges = np.linspace(-density.extent, density.extent, 23)
    found = np.histogram2d(sample[:, 1], sample[:, 0], bins=(edges, edges))[0]
    expected = coarse * count
    some = expected > 20
    assert np.sum(found[some]) > 0.95 * count
    squares = (found[some] - expected[some]) ** 2 / expected[some]
    # A few cells are cut by edges of the checkerboard, which the grid sees coarsely.
    assert squares.mean() < (6 if name == "checkerboard" else 1.6)


def test_an_unknown_density_is_refused():
    with pytest.raises(InputError, match="Did you mean 'moons'"):
        plane_density("moon")
