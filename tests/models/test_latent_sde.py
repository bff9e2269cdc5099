"""The latent SDE: its limits, its divergence, and a process whose moments are known."""

from __future__ import annotations

import builtins

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.models import Context, LatentODE, LatentSDE, Target
from isocline.models.latent_sde import FARTHEST, Control

KEY = jax.random.key(2)
FINE = (("rtol", 1e-6), ("atol", 1e-7), ("max_steps", 512))
LATENT, CHANNELS, BATCH = 2, 1, 4


def model(steps=40, **options):
    ode = LatentODE(CHANNELS, LATENT, 8, "attention", (6.0,), key=KEY, solver=FINE, **options)
    return LatentSDE(ode, key=jax.random.key(3), steps=steps)


def with_diffusion(sde, value):
    return eqx.tree_at(lambda m: m.log_diffusion, sde, jnp.full(LATENT, np.log(value), jnp.float32))


def linear(sde, rate):
    """The prior drift -rate z, without an MLP."""
    last = lambda m: (m.ode.field.linear, m.ode.field.mlp)
    mlp = jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, sde.ode.field.mlp
    )
    return eqx.tree_at(last, sde, (-rate * jnp.eye(LATENT), mlp))


@eqx.filter_jit
def path_of(sde, *given):
    return sde.path(*given)


def data(batch=BATCH, seed=0):
    rng = np.random.default_rng(seed)
    times = jnp.asarray(-np.sort(rng.uniform(0, 1, (batch, 5)), axis=1), "f4")
    values = jnp.asarray(rng.normal(size=(batch, 5, CHANNELS)), "f4")
    phase = jnp.asarray(rng.uniform(0, 6, (batch, 1)), "f4")
    context = Context(times, values, jnp.ones(values.shape, bool), phase)
    asked = jnp.asarray(np.sort(rng.uniform(0.05, 1, (batch, 6)), axis=1), "f4")
    seen = jnp.asarray(rng.random((batch, 6, CHANNELS)) < 0.8)
    return context, Target(asked, jnp.asarray(rng.normal(size=seen.shape), "f4"), seen)


@pytest.mark.slow
def test_without_diffusion_it_is_the_ode():
    context, target = data()
    sde = with_diffusion(model(steps=160), 1e-9)
    z0 = sde.encode(context)[0]
    expected = eqx.filter_jit(sde.ode.path)(z0, context.phase, target.times)[0]
    found, path_kl, nfe = path_of(sde, z0, context, target.times, KEY)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert float(path_kl) == 0
    steps = int(np.ceil(160 * float(target.times.max())))
    assert nfe.tolist() == [2 * steps] * BATCH


@pytest.mark.slow
def test_equal_drifts_have_no_divergence_and_others_that_of_girsanov():
    """The control starts at zero; a constant u up to the last time costs `|u|^2 last / 2`."""
    context, target = data()
    sde = model()
    z0, last = sde.encode(context)[0], target.times[:, -1]
    steering = Control(jnp.zeros((BATCH, 3, sde.ode.posterior.in_features)), last)
    path, path_kl, _ = path_of(sde, z0, context, target.times, KEY, steering)
    assert float(path_kl) == 0
    np.testing.assert_allclose(path, path_of(sde, z0, context, target.times, KEY)[0], atol=1e-6)
    bias = lambda m: m.control.layers[-1].bias
    steered = eqx.tree_at(bias, sde, jnp.float32([1.5, -0.5]))
    moved, path_kl, _ = path_of(steered, z0, context, target.times, KEY, steering)
    # Of each trajectory to within a step, in which the control may end.
    expected = 0.5 * 2.5 * float(jnp.sum(last))
    assert float(path_kl) == pytest.approx(expected, abs=BATCH * 0.5 * 2.5 / 40)
    away = np.asarray(moved - path)[:, -1]
    assert (away[:, 0] > 0.05).all() and (away[:, 1] < -0.01).all()


@pytest.mark.slow
def test_an_ornstein_uhlenbeck_process_has_its_mean_and_variance():
    """`dz = -r z dt + g dW` from z0: mean `z0 exp(-r t)`, variance `g^2 (1 - exp(-2 r t)) / 2r`."""
    rate, diffusion, batch, asked = 1.7, 0.8, 6000, [0.1, 0.5, 1.0, 2.0]
    sde = linear(with_diffusion(model(), diffusion), rate)
    context, _ = data(batch)
    times = jnp.broadcast_to(jnp.float32(asked), (batch, 4))
    path = np.asarray(path_of(sde, jnp.full((batch, LATENT), 1.2), context, times, KEY)[0])
    t = np.array(asked)
    variance = diffusion**2 * (1 - np.exp(-2 * rate * t)) / (2 * rate)
    error = np.sqrt(variance / batch)[:, None]
    assert (np.abs(path.mean(axis=0) - (1.2 * np.exp(-rate * t))[:, None]) < 4 * error).all()
    np.testing.assert_allclose(path.var(axis=0), variance[:, None] * np.ones(2), rtol=0.08)
    correlation = np.corrcoef(path[:, -1].T)[0, 1]
    assert abs(correlation) < 0.06  # each component has noise of its own


@pytest.mark.slow
def test_gradients_are_finite_and_reach_everything():
    context, target = data()
    sde = model(anchored=True)
    weights = lambda m: m.control.layers[-1].weight
    sde = eqx.tree_at(weights, sde, 0.1 * jnp.ones_like(weights(sde)))
    compute = eqx.filter_value_and_grad(eqx.filter_jit(LatentSDE.loss), has_aux=True)
    (value, parts), gradient = compute(sde, context, target, KEY, jnp.float32(1.0))
    assert np.isfinite(float(value)) and float(parts["path_kl"]) > 0
    leaves = jax.tree.leaves(gradient)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)
    for part in (gradient.log_diffusion, gradient.surroundings.log_near, gradient.ode.posterior):
        assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(part)) > 0


def test_draws_differ_and_what_lies_too_far_is_asked_at_the_end():
    context, _ = data()
    times = jnp.float32([[0.5, FARTHEST, FARTHEST + 9]] * BATCH)
    predict = eqx.filter_jit(model().predict)
    found = predict(context, times, KEY, 3)
    assert found.mean.shape == (3, BATCH, 3, CHANNELS)
    assert bool(jnp.isfinite(found.mean).all())
    assert float(jnp.abs(found.mean[0] - found.mean[1]).min()) > 0
    np.testing.assert_array_equal(found.latent[:, :, 1], found.latent[:, :, 2])
    again = predict(context, times, KEY, 3)
    np.testing.assert_array_equal(found.mean, again.mean)


def test_without_diffrax_it_says_what_to_do(monkeypatch):
    found = builtins.__import__

    def without(name, *rest):
        if name == "diffrax":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    context, target = data()
    with pytest.raises(InputError, match=r"isocline\[diffrax\]"):
        model().loss(context, target, KEY, jnp.float32(1.0))


@pytest.mark.parametrize("options", [{"intensity": True}, {"shooting": 2}])
def test_a_latent_ode_that_does_not_fit_is_refused(options):
    with pytest.raises(InputError, match="made of a latent ODE without"):
        model(**options)
