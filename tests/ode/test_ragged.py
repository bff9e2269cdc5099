"""Rows of save times of different lengths, and masked ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import solve

Y0 = jnp.array([[1.0], [2.0], [3.0]])
ROWS = [[0.0, 1.0], [0.0, 0.5, 2.0], [0.0]]


def run(ts, rate=1.0, **options):
    return solve(lambda t, y, a: -a * y, Y0, ts, rate, batch="independent", rtol=1e-5, **options)


@pytest.mark.parametrize("kind", [list, np.array, tuple])
def test_rows_of_different_lengths_are_each_as_alone(kind):
    found = run([kind(row) for row in ROWS])
    for lane, row in enumerate(ROWS):
        exact = np.exp(-np.array(row)) * Y0[lane, 0]
        np.testing.assert_allclose(found.ys[lane, : len(row), 0], exact, rtol=1e-4)
        np.testing.assert_array_equal(found.ts[lane, : len(row)], np.float32(row))
        assert np.isnan(found.ys[lane, len(row) :]).all()
        assert np.isnan(found.ts[lane, len(row) :]).all()
    assert int(found.stats.accepted[2]) == 0


def test_masked_times_wherever_they_are():
    """Before the first, in between and after the last; a gradient comes from what is there."""
    times = np.array([[9.0, 0.0, 1.0, 2.0], [0.0, 9.0, 1.0, 2.0], [0.0, 1.0, 2.0, -9.0]])
    masked = np.ma.masked_where(np.abs(times) == 9, times)

    def total(rate):
        return jnp.nansum(run(masked, rate).ys)

    found, there = run(masked), ~np.ma.getmaskarray(masked)
    exact = np.exp(-times) * np.asarray(Y0)
    np.testing.assert_allclose(found.ys[..., 0][there], exact[there], rtol=1e-4)
    assert np.isnan(found.ys[..., 0][~there]).all() and np.isnan(found.ts[~there]).all()
    slope = -np.sum((times * exact)[there])
    np.testing.assert_allclose(jax.jit(jax.grad(total))(1.0), slope, rtol=1e-3)
    assert np.isfinite(run(masked, on_failure="mask").ys).all()


def test_masked_times_of_one_trajectory_and_times_that_all_share():
    masked = np.ma.masked_equal([0.0, -1.0, 2.0], -1.0)
    one = solve(lambda t, y: -y, jnp.ones(2), masked)
    assert np.isnan(one.ys[1]).all() and np.isfinite(one.ys[np.array([0, 2])]).all()
    assert np.isnan(run(masked).ys[:, 1]).all() and np.isfinite(run(masked).ys[:, 2]).all()
