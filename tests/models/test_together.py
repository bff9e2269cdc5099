"""Trajectories on one clock, the Poisson process of observation times, and the classifier."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import cumulative_simpson

from isocline.models import (
    Context,
    Knots,
    LatentClassifier,
    LatentODE,
    Target,
    poisson_log_likelihood,
    solve_together,
)
from isocline.models.likelihood import gaussian_log_likelihood

BATCH, ROWS, TIMES, CHANNELS = 3, 5, 4, 2
KEY = jax.random.key(4)
FINE = (("rtol", 1e-5), ("atol", 1e-6), ("max_steps", 256))


def model(**options):
    return LatentODE(CHANNELS, 3, 8, "attention", (6.0,), key=KEY, solver=FINE, **options)


def data(seed=0):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 1, (BATCH, ROWS)), axis=1)
    mask = rng.random((BATCH, ROWS, CHANNELS)) < 0.8
    values = np.where(mask, rng.normal(size=mask.shape), 0)
    phase = rng.uniform(0, 6, (BATCH, 1))
    context = Context(*(jnp.asarray(part, "f4") for part in (times, values)), jnp.asarray(mask),
                      jnp.asarray(phase, "f4"))  # fmt: skip
    asked = jnp.asarray(np.sort(rng.uniform(0.05, 1, (BATCH, TIMES)), axis=1), "f4")
    seen = jnp.asarray(rng.random((BATCH, TIMES, CHANNELS)) < 0.8)
    return context, Target(asked, jnp.asarray(rng.normal(size=seen.shape), "f4"), seen)


def test_cubics_between_knots_are_as_good_as_the_solve():
    """Against the solution in closed form, at times in any order, for trajectories of two sorts."""
    rates = jnp.float32([1.0, -3.0])
    times = jnp.float32([[0.9, 0.0, 0.37], [1.0, 0.5, 0.51]])
    found, nfe = solve_together(
        lambda t, y, rate: rate * y + jnp.cos(t), jnp.ones(2), times, rates, Knots(1.0, 16),
        rtol=1e-6, atol=1e-7,
    )  # fmt: skip
    for each, rate, own in zip(found, rates, times):
        t, r = np.asarray(own, float), float(rate)
        forced = (np.sin(t) - r * np.cos(t)) / (1 + r**2)
        exact = (1 + r / (1 + r**2)) * np.exp(r * t) + forced
        np.testing.assert_allclose(each, exact, atol=3e-5)
    assert int(nfe) > 0


def test_what_lies_after_the_knots_is_their_end():
    times = jnp.float32([[1.0, 1.5]])
    found, _ = solve_together(lambda t, y, _: -y, jnp.ones(1), times, None, Knots(1.0, 8),
                              args_axes=None)  # fmt: skip
    assert found[0, 0] == found[0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"intensity": True}], ids=["values", "and times"])
def test_knots_change_the_cost_and_not_the_model(options):
    context, target = data()
    own, shared = model(**options), model(knots=Knots(1.0, 32), **options)
    one, other = (
        eqx.filter_jit(one.predict)(context, target.times, KEY, 2) for one in (own, shared)
    )
    np.testing.assert_allclose(one.mean, other.mean, atol=2e-4)
    assert (one.expected is None) == (not options)
    if options:
        np.testing.assert_allclose(one.expected, other.expected, rtol=1e-3)


@pytest.mark.parametrize("knots", [None, Knots(1.0, 8)], ids=["alone", "together"])
def test_a_solve_that_gives_up_has_no_likelihood_of_times(knots):
    """An integral that ends early would be one that is too high."""
    context, target = data()
    short, seasons = (("rtol", 1e-6), ("atol", 1e-6), ("max_steps", 1)), (6.0,)
    options = {"solver": short, "knots": knots, "intensity": True}
    made = LatentODE(CHANNELS, 3, 8, "attention", seasons, key=KEY, **options)
    assert np.isnan(eqx.filter_jit(made.loss)(context, target, KEY, jnp.ones(()))[0])


@pytest.mark.slow
def test_knots_give_the_gradient_of_solves_alone():
    context, target = data()

    def slope(made):
        compute = eqx.filter_grad(lambda made: made.loss(context, target, KEY, jnp.ones(()))[0])
        leaves = jax.tree.leaves(eqx.filter_jit(compute)(made))
        return np.concatenate([np.ravel(leaf) for leaf in leaves])

    alone, shared = slope(model()), slope(model(knots=Knots(1.0, 32)))
    np.testing.assert_allclose(shared, alone, atol=2e-3 * np.abs(alone).max())


@pytest.mark.slow
def test_the_integral_is_the_quadrature_of_the_rate():
    """The expected number is one more state of the solve; here it is integrated by SciPy."""
    context, target = data()
    made = model(intensity=True)
    mean, _ = made.encode(context)
    decode = eqx.filter_jit(made.decode)
    found = decode(mean, context.phase, target.times)
    fine = jnp.broadcast_to(jnp.linspace(0, 1, 401, dtype=jnp.float32), (BATCH, 401))
    rates = np.exp(np.asarray(decode(mean, context.phase, fine).log_rate, float))
    at = np.linspace(0, 1, 401)
    for row in range(BATCH):
        so_far = cumulative_simpson(rates[row], x=at, initial=0)
        expected = np.interp(np.asarray(target.times)[row], at, so_far)
        np.testing.assert_allclose(np.asarray(found.expected)[row], expected, rtol=1e-3)


def test_the_likelihood_of_times_is_that_of_a_poisson_process():
    """At a constant rate: n log(rate) - rate * T, however the events lie."""
    rate, end = 3.0, 2.0
    times = jnp.float32([[0.1, 0.5, 2.0], [0.3, 2.0, 2.0]])
    events = jnp.array([[1, 1, 0], [1, 0, 0]], bool)
    found = poisson_log_likelihood(jnp.full(times.shape, np.log(rate)), rate * times, events)
    assert float(found) == pytest.approx(3 * np.log(rate) - 2 * rate * end, rel=1e-6)


def test_the_bound_counts_times_and_values():
    context, target = data()
    with_times, plain = model(intensity=True), model()
    mean, std = plain.encode(context)
    z0 = mean + std * jax.random.normal(KEY, mean.shape)
    prediction = with_times.decode(z0, context.phase, target.times)
    np.testing.assert_allclose(
        prediction.mean, plain.decode(z0, context.phase, target.times).mean, atol=1e-4
    )
    events = jnp.any(target.mask, axis=2)
    expected = gaussian_log_likelihood(prediction, target) + poisson_log_likelihood(
        prediction.log_rate, prediction.expected, events
    )
    _, parts = with_times.loss(context, target, KEY, jnp.ones(()))
    assert float(parts["log_likelihood"]) == pytest.approx(
        float(expected) / int(target.mask.sum()), rel=1e-4
    )


@pytest.mark.slow
def test_a_classifier_adds_its_cross_entropy():
    context, target = data()
    labels = jnp.array([0, 1, 1])
    latent = model(knots=Knots(1.0, 8))
    plain, _ = latent.loss(context, target, KEY, jnp.ones(()))
    made = LatentClassifier(latent, key=KEY, weight=2.0)
    loss, parts = made.loss(context, target, labels, KEY, jnp.ones(()))
    assert float(loss - plain) == pytest.approx(2 * float(parts["cross_entropy"]), rel=1e-4)
    chances = made.predict_proba(context, KEY, 8)
    assert chances.shape == (BATCH, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
