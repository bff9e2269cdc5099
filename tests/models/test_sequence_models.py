"""The latent ODE, the GRU and their ensemble: shapes, laws, and the parts of the loss."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from isocline.models import Context, Ensemble, GRUForecaster, LatentODE, Target
from isocline.models.likelihood import gaussian_log_likelihood

BATCH, ROWS, TIMES, CHANNELS = 3, 5, 4, 2
FREQUENCIES = (6.0,)
KEY = jax.random.key(3)


def latent_ode(key=KEY, **options):
    solver = (("rtol", 1e-4), ("atol", 1e-5), ("max_steps", 256))
    return LatentODE(CHANNELS, 3, 8, "rnn", FREQUENCIES, key=key, solver=solver, **options)


def gru(key=KEY):
    return GRUForecaster(CHANNELS, 6, FREQUENCIES, key=key)


def data(seed=0):
    rng = np.random.default_rng(seed)
    times = -np.sort(rng.uniform(0, 1, (BATCH, ROWS)), axis=1)[:, ::-1]
    mask = rng.random((BATCH, ROWS, CHANNELS)) < 0.8
    values = np.where(mask, rng.normal(size=mask.shape), 0)
    phase = rng.uniform(0, 6, (BATCH, 1))
    context = Context(
        *map(jnp.asarray, (times.astype("f4"), values.astype("f4"), mask)), jnp.asarray(phase, "f4")
    )
    asked = np.sort(rng.uniform(0.05, 1, (BATCH, TIMES)), axis=1).astype("f4")
    seen = rng.random((BATCH, TIMES, CHANNELS)) < 0.8
    truth = rng.normal(size=seen.shape).astype("f4")
    return context, Target(jnp.asarray(asked), jnp.asarray(truth), jnp.asarray(seen))


def loss(model, context, target, kl_weight=1.0, key=KEY):
    return _loss(model, context, target, key, jnp.asarray(kl_weight))


@eqx.filter_jit
def _loss(model, *inputs):
    """One compiled function, so that models of one structure share the program."""
    return model.loss(*inputs)


@eqx.filter_jit
def predict(model, context, times, draws=1, key=KEY):
    return model.predict(context, times, key, draws)


models = pytest.mark.parametrize("make", [latent_ode, gru])


@models
@pytest.mark.parametrize("draws", [1, 3])
def test_predictions_have_a_leading_axis_of_draws(make, draws):
    context, target = data()
    prediction = predict(make(), context, target.times, draws)
    found = draws if make is latent_ode else 1
    assert prediction.mean.shape == prediction.std.shape == (found, BATCH, TIMES, CHANNELS)
    assert prediction.latent.shape[:3] == (found, BATCH, TIMES)
    assert np.isfinite(prediction.mean).all() and (np.asarray(prediction.std) > 0).all()


@models
@pytest.mark.core
def test_gradients_reach_every_weight_and_are_finite(make):
    context, target = data()
    model = make()
    gradient = eqx.filter_jit(
        eqx.filter_grad(lambda model: model.loss(context, target, KEY, jnp.ones(()))[0])
    )(model)
    leaves = jax.tree.leaves(eqx.filter(gradient, eqx.is_inexact_array))
    assert len(leaves) == len(jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in leaves)


@models
def test_a_trajectory_does_not_see_its_neighbours(make):
    context, target = data()
    whole = predict(make(), context, target.times).mean[0]
    changed = eqx.tree_at(
        lambda c: c.values, context, context.values.at[1].add(context.mask[1] * 3.0)
    )
    again = predict(make(), changed, target.times).mean[0]
    np.testing.assert_allclose(again[0], whole[0], atol=1e-5)
    assert np.abs(again[1] - whole[1]).max() > 1e-3


@models
def test_times_asked_beside_do_not_change_a_forecast(make):
    """The latent ODE reads any time off one solution; the GRU, as the paper has it, does not."""
    context, target = data()
    whole = predict(make(), context, target.times).mean[0]
    fewer = predict(make(), context, target.times[:, 1:]).mean[0]
    difference = np.abs(fewer - whole[:, 1:]).max()
    assert difference < 1e-3 if make is latent_ode else difference > 1e-4


@models
def test_what_was_not_observed_does_not_enter_the_loss(make):
    context, target = data()
    changed = eqx.tree_at(lambda t: t.values, target, jnp.where(target.mask, target.values, 1e6))
    assert not bool(target.mask.all())
    assert float(loss(make(), context, changed)[0]) == pytest.approx(
        float(loss(make(), context, target)[0]), rel=1e-5
    )


@pytest.mark.core
def test_the_kl_term_is_the_closed_form():
    context, target = data()
    model = latent_ode()
    mean, std = (np.asarray(part, np.float64) for part in model.encode(context))
    # KL(N(m, s) || N(0, 1)) by its definition, E_q[log q - log p], with Gauss-Hermite quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z = mean[..., None] + std[..., None] * nodes
    gap = stats.norm.logpdf(z, mean[..., None], std[..., None]) - stats.norm.logpdf(z)
    divergence = (gap @ weights).sum() / np.sqrt(2 * np.pi)
    light, parts = loss(model, context, target, 0.0)
    heavy, _ = loss(model, context, target, 2.0)
    assert float(parts["kl"]) == pytest.approx(divergence / BATCH, rel=1e-4)
    assert float(heavy - light) == pytest.approx(2 * divergence / int(target.mask.sum()), rel=1e-3)


def test_the_first_term_is_the_likelihood_of_the_drawn_path():
    context, target = data()
    model = latent_ode()
    mean, std = model.encode(context)
    drawn = mean + std * jax.random.normal(KEY, mean.shape)
    expected = gaussian_log_likelihood(model.decode(drawn, context.phase, target.times), target)
    value, parts = loss(model, context, target, 0.0)
    assert float(value) == pytest.approx(-float(expected) / int(target.mask.sum()), rel=1e-4)
    assert float(parts["log_likelihood"]) == pytest.approx(-float(value), rel=1e-5)


def test_noise_may_be_constant():
    context, target = data()
    model = latent_ode(noise="constant")
    std = np.asarray(predict(model, context, target.times, 2).std)
    np.testing.assert_allclose(std, np.broadcast_to(np.exp(model.log_std), std.shape), rtol=1e-6)


@pytest.mark.slow
@models
@pytest.mark.core
def test_an_ensemble_is_its_members_run_alone(make):
    context, target = data()
    size = 2
    ensemble = Ensemble(make, size, key=KEY)
    alone = [make(key) for key in jax.random.split(KEY, size)]
    noise = jax.random.split(KEY, size)
    expected = [
        predict(member, context, target.times, 2, key).mean for member, key in zip(alone, noise)
    ]
    found = predict(ensemble, context, target.times, 2 * size).mean
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-3)
    losses = [float(loss(member, context, target, key=key)[0]) for member, key in zip(alone, noise)]
    assert losses[0] != losses[1]
    assert float(loss(ensemble, context, target)[0]) == pytest.approx(np.mean(losses), rel=1e-3)


def test_gru_padding_does_not_matter():
    context, target = data()
    padded = Context(
        jnp.pad(context.times, ((0, 0), (0, 2)), mode="edge"),
        jnp.pad(context.values, ((0, 0), (0, 2), (0, 0)), constant_values=4.0),
        jnp.pad(context.mask, ((0, 0), (0, 2), (0, 0))),
        context.phase,
    )
    expected = predict(gru(), context, target.times).mean
    np.testing.assert_allclose(predict(gru(), padded, target.times).mean, expected, atol=1e-5)


def test_an_anchored_model_adds_its_level_to_the_mean():
    """The same weights without the level say the same but for it."""
    context, target = data()
    model = latent_ode(anchored=True, beside_level=False)
    plain = eqx.tree_at(lambda one: one.level, model, None)
    level = jax.vmap(model.level)(context.times, context.values, context.mask, target.times)
    found, alone = (predict(one, context, target.times) for one in (model, plain))
    np.testing.assert_allclose(found.mean, alone.mean + level, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.std, alone.std, rtol=1e-5)
    assert np.abs(level).max() > 0.1


class Beside(eqx.Module):
    """An encoder that does not look at the values as they are, only at those beside the level."""

    encoder: eqx.Module

    def __call__(self, times, values, mask):
        return self.encoder(times, values.at[:, :CHANNELS].set(0), mask)


def test_what_a_model_reads_beside_its_level_is_the_same_at_every_level():
    context, target = data()
    model = latent_ode(anchored=True)
    told = slice(8, 8 + CHANNELS)
    model = eqx.tree_at(
        lambda one: (one.posterior.weight, one.level.raw_share, one.level.log_fade),
        model,
        (
            model.posterior.weight.at[:, told].set(0),
            jnp.full(CHANNELS, 30.0),
            jnp.full(CHANNELS, -30.0),
        ),
    )
    blind = eqx.tree_at(lambda one: one.encoder, model, replace_fn=Beside)
    raised = eqx.tree_at(lambda one: one.values, context, (context.values + 2) * context.mask)
    seen = jnp.any(context.mask, axis=1)[:, None]
    found, higher = (predict(blind, one, target.times).mean for one in (context, raised))
    np.testing.assert_allclose(higher, found + 2 * seen, rtol=1e-4, atol=1e-4)
    # It looks at both: the values as they are count as well.
    found, higher = (predict(model, one, target.times).mean for one in (context, raised))
    assert np.abs(higher - found - 2 * seen).max() > 1e-2


def test_a_season_that_does_not_force_the_field_is_known_to_the_encoder_alone():
    context, target = data()
    model = latent_ode(forced=())
    other = eqx.tree_at(lambda one: one.phase, context, context.phase + 1)
    z0 = jnp.zeros((BATCH, 3))
    before, after = (model.decode(z0, one.phase, target.times).mean for one in (context, other))
    np.testing.assert_array_equal(before, after)
    assert np.abs(model.encode(context)[0] - model.encode(other)[0]).max() > 1e-3
