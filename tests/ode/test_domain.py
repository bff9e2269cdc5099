"""Domains: steps that would leave are cut, and a solution that truly leaves is told."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import InputError, SolveError, Status, solve

pytestmark = pytest.mark.usefixtures("x64")


def predators(t, y):
    """Lotka and Volterra, whose populations come close to zero."""
    prey, others = y
    return jnp.array([1.5 * prey - prey * others, prey * others - 3.0 * others])


def test_a_decay_stays_positive():
    """One step of order three, with a tolerance that lets it pass, leads below zero."""
    options = {"method": "bosh3", "atol": 9.0, "dt0": 2.2}
    free, kept = (
        solve(lambda t, y: -y, np.ones(2), [0.0, 2.2, 4.4], domain=domain, **options)
        for domain in (None, "positive")
    )
    assert np.min(free.ys) < 0
    assert kept.success and (np.asarray(kept.ys) > 0).all()
    assert kept.stats.rejected >= 1


@pytest.mark.parametrize("adjoint", ["replay", "direct"])
@pytest.mark.parametrize("batch", ["coupled", "independent"])
def test_saved_values_stay_inside_too(batch, adjoint):
    """One long step of tsit5 ends above zero, and its continuous extension dips below before."""

    def final(y0, domain):
        solution = solve(
            lambda t, y: -y, y0, [0.0, 1.8, 4.4], domain=domain, batch=batch, adjoint=adjoint,
            atol=9.0, dt0=4.4, max_steps=9,
        )  # fmt: skip
        return jnp.sum(solution.ys), solution

    y0 = np.ones((2, 1))
    free, kept = (final(y0, domain)[1] for domain in (None, "positive"))
    assert np.min(free.ys) < 0 < np.min(jnp.take(free.ys, -1, int(batch == "independent")))
    assert np.all(kept.success) and (np.asarray(kept.ys) > 0).all()
    assert np.all(np.asarray(kept.stats.rejected) >= 1)
    slopes, _ = jax.grad(final, has_aux=True)(jnp.asarray(y0), "positive")
    np.testing.assert_allclose(np.sum(slopes * y0), np.sum(kept.ys), rtol=1e-12)  # it is linear


def test_a_domain_costs_no_evaluation_where_it_is_not_needed():
    y0, ts = np.array([10.0, 5.0]), np.linspace(0.0, 20.0, 5)
    free, kept = (solve(predators, y0, ts, domain=domain) for domain in (None, "positive"))
    assert free.stats.nfe == kept.stats.nfe
    np.testing.assert_allclose(free.ys, kept.ys)


@pytest.mark.parametrize("steps", [None, 50])
def test_a_solution_that_leaves_is_told_where(steps):
    """1 - t reaches zero at t=1."""
    with pytest.raises(SolveError, match=r"left its domain at t=(1|0\.9)") as caught:
        solve(
            lambda t, y: -jnp.ones_like(y), np.ones(1), [0.0, 2.0], domain=(0.0, None), steps=steps
        )
    solution = caught.value.solution
    assert solution.status == Status.LEFT_DOMAIN
    np.testing.assert_allclose(solution.ending.t, 1.0, atol=0.05 if steps else 1e-9)


def test_a_field_that_is_not_defined_outside_ends_at_the_border():
    solution = solve(
        lambda t, y: -jnp.sqrt(y) - 0.1,
        np.ones(1),
        [0.0, 9.0],
        domain="positive",
        on_failure="return",
    )
    assert solution.status == Status.LEFT_DOMAIN


def test_each_trajectory_has_its_own_end_and_gradient():
    def final(y0):
        solution = solve(
            lambda t, y: {"a": -jnp.ones(1)},
            y0,
            [0.0, 0.95],
            domain=lambda t, y: y["a"][0] > 0.2,
            batch="independent",
            on_failure="return",
        )
        return jnp.nansum(solution.ys["a"][:, -1]), solution.status

    y0 = {"a": jnp.array([[1.0], [3.0]])}
    slopes, status = jax.grad(final, has_aux=True)(y0)
    np.testing.assert_array_equal(status, [Status.LEFT_DOMAIN, Status.SUCCESS])
    np.testing.assert_allclose(slopes["a"], [[0.0], [1.0]])


def test_bounds_can_be_trees():
    y0 = {"a": np.array([0.5, 0.5]), "b": np.array(2.0)}
    bounds = {"a": np.array([0.0, 0.4]), "b": np.array(-9.0)}
    solution = solve(
        lambda t, y: jax.tree.map(lambda leaf: -jnp.ones_like(leaf), y),
        y0,
        [0.0, 1.0],
        domain=(bounds, None),
        on_failure="return",
    )
    assert solution.status == Status.LEFT_DOMAIN
    np.testing.assert_allclose(solution.ending.t, 0.1, rtol=1e-9)


def test_zero_is_told_not_to_be_positive():
    y0 = np.array([1.0, 0.0])
    with pytest.raises(InputError, match=r"Zero is not positive: domain=\(0, None\) allows it"):
        solve(lambda t, y: -y, y0, [0.0, 1.0], domain="positive")
    assert solve(lambda t, y: -y, y0, [0.0, 1.0], domain=(0, None)).success


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ("negative", "must be 'positive'"),
        ((1.0, 2.0), "lies outside"),
        ((np.zeros(3), None), "shaped like y0"),
        (lambda t, y: y, "one boolean"),
    ],
)
def test_wrong_domains_are_told(domain, message):
    with pytest.raises(InputError, match=message):
        solve(lambda t, y: -y, np.full(2, 0.5), [0.0, 1.0], domain=domain)
