"""`jax.vmap` of a solve goes the way of independent trajectories, and so do its derivatives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import Status, solve

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.core]
RNG = np.random.default_rng(0)
STARTS, MATRIX = RNG.normal(size=(5, 2)), RNG.normal(size=(2, 2))
RATES, TIMES = np.linspace(0.5, 30, 5), np.linspace(0, 1, 4)
EACH = (0, 0, None)


def field(t, y, args):
    return jnp.tanh(args["matrix"] @ y) * args["rate"] - 0.1 * y * t


def run(y0, rate, matrix, adjoint="auto"):
    args = {"matrix": matrix, "rate": rate}
    return solve(field, y0, TIMES, args, rtol=1e-8, atol=1e-8, adjoint=adjoint)


def loss(*parts):
    return jnp.sum(jnp.sin(run(*parts).ys))


def one_by_one(function, rates=RATES):
    results = [function(STARTS[i], rates[i], MATRIX) for i in range(5)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *results)


def equal(ours, wanted):
    for found, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)


def test_values_and_counts_are_those_of_each_alone():
    many, alone = jax.vmap(run, EACH)(STARTS, RATES, MATRIX), one_by_one(run)
    equal(many.ys, alone.ys)
    assert many.stats.nfe.tolist() == alone.stats.nfe.tolist()
    assert len(set(many.stats.accepted.tolist())) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "reversible"])
def test_gradients_of_each_and_of_the_sum(adjoint):
    """One gradient a trajectory, also for what they share; or one of the sum, added up."""

    def one(*parts):
        return jnp.sum(jnp.sin(run(*parts, adjoint).ys))

    # At high rates the field contracts much, and the states of "reversible" would get lost.
    rates, tight = (RATES, 1e-6) if adjoint == "replay" else (RATES / 6, 1e-4)
    each = jax.vmap(jax.grad(one, (0, 1, 2)), EACH)(STARTS, rates, MATRIX)
    alone = one_by_one(jax.grad(loss, (0, 1, 2)), rates)
    total = jax.grad(lambda *parts: jnp.sum(jax.vmap(one, EACH)(*parts)), (0, 1, 2))
    for ours, wanted in zip(each, one_by_one(jax.grad(one, (0, 1, 2)), rates)):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)
    for ours, wanted in zip(each, alone):
        np.testing.assert_allclose(ours, wanted, rtol=tight, atol=tight)
    for ours, wanted in zip(total(STARTS, rates, MATRIX), (*alone[:2], alone[2].sum(axis=0))):
        np.testing.assert_allclose(ours, wanted, rtol=tight, atol=tight)


@pytest.mark.slow
def test_jacobians_either_way_and_hessians():
    """Many pullbacks of one solve, many pushforwards, and forward over reverse."""

    def end(y0, adjoint):
        return run(y0, 2.0, MATRIX, adjoint).ys[-1]

    equal(jax.jacrev(end)(STARTS[0], "replay"), jax.jacfwd(end)(STARTS[0], "forward"))
    hessian = jax.hessian(loss)(STARTS[0], 2.0, MATRIX)
    step = 1e-5
    gradient = jax.grad(loss)
    for index in range(2):
        way = np.eye(2)[index] * step
        slope = gradient(STARTS[0] + way, 2.0, MATRIX) - gradient(STARTS[0] - way, 2.0, MATRIX)
        np.testing.assert_allclose(hessian[index], slope / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve"])
def test_jacobians_of_many(adjoint):
    """Many pullbacks of each of many solves: a map around a map of cotangents alone."""

    def end(y0, matrix):
        return run(y0, 2.0, matrix, adjoint).ys[-1]

    jacobians = jax.jacrev(end, argnums=(0, 1))
    many = jax.vmap(jacobians, (0, None))(STARTS, MATRIX)
    for index, start in enumerate(STARTS[:2]):
        for found, wanted in zip(many, jacobians(start, MATRIX), strict=True):
            np.testing.assert_allclose(found[index], wanted, rtol=1e-6, atol=1e-7)
            assert jnp.any(wanted)


def test_a_failing_trajectory_is_its_own_affair():
    def one(y0):
        return solve(lambda t, y: y**2, y0, [0.0, 1.0], on_failure="return")

    many = jax.vmap(one)(jnp.array([[0.5], [2.0], [-1.0]]))
    assert many.success.tolist() == [True, False, True]
    assert int(many.status[1]) != Status.RUNNING
    np.testing.assert_allclose(many.ys[[0, 2], -1, 0], [1.0, -0.5], rtol=1e-4)


def test_it_nests_and_maps_batches():
    """A map of a map, and a map of independent trajectories."""
    grid = jnp.stack([STARTS, 2 * STARTS])
    nested = jax.vmap(jax.vmap(lambda y0: run(y0, 1.0, MATRIX).ys))(grid)
    args = {"matrix": MATRIX, "rate": 1.0}
    batched = jax.vmap(
        lambda y0: solve(field, y0, TIMES, args, batch="independent", rtol=1e-8, atol=1e-8).ys
    )(grid)
    for outer in range(2):
        for inner in range(5):
            alone = run(grid[outer, inner], 1.0, MATRIX).ys
            equal(nested[outer, inner], alone)
            equal(batched[outer, inner], alone)
