"""Covariates in the models: how a path drives a field, and who is told what."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import solve
from isocline.models import Context, Drive, Exogenous, GRUForecaster, LatentODE, Target, Widths
from isocline.models.exogenous import solver_on

WIDTHS = Widths(past=1, known=2, static=3, waves=(5.0, 500.0), fastest=50.0)
BATCH, ROWS, TIMES, CHANNELS = 2, 4, 3, 2
KEY = jax.random.key(0)


def drive(random, knots=6, widths=WIDTHS):
    times = np.cumsum(random.uniform(0.1, 0.4, (BATCH, knots)), axis=1) - 0.3
    parts = (
        times,
        *(
            random.normal(size=shape)
            for shape in (
                (BATCH, knots, widths.known),
                (BATCH, len(widths.waves)),
                (BATCH, widths.static),
            )
        ),
    )
    return Drive(*(jnp.asarray(part, jnp.float32) for part in parts))


def window(seed=0, grid=True):
    random = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(random.normal(size=shape), jnp.float32)

    times = jnp.asarray(-np.sort(random.random((BATCH, ROWS)))[:, ::-1], jnp.float32)
    steps = jnp.broadcast_to(jnp.linspace(0, 1, 25), (BATCH, 25)) if grid else None
    mask = jnp.ones((BATCH, ROWS, CHANNELS), bool)
    read = jnp.ones((BATCH, ROWS, WIDTHS.read), bool)
    exogenous = Exogenous(normal(BATCH, ROWS, WIDTHS.read), read, drive(random), steps)
    context = Context(times, normal(BATCH, ROWS, CHANNELS), mask, jnp.zeros((BATCH, 0)), exogenous)
    asked = jnp.asarray(np.sort(random.random((BATCH, TIMES))), jnp.float32)
    truth = normal(BATCH, TIMES, CHANNELS)
    return context, Target(asked, truth, jnp.ones(truth.shape, bool))


def latent_ode(**options):
    return LatentODE(CHANNELS, 3, 8, "rnn", (), key=KEY, covariates=WIDTHS, **options)


def gru():
    return GRUForecaster(CHANNELS, 6, (), key=KEY, covariates=WIDTHS)


models = pytest.mark.parametrize("make", [latent_ode, gru])


@pytest.mark.parametrize("hold", [False, True])
def test_a_drive_is_the_path_then_the_calendar_then_what_stays(hold):
    one = drive(np.random.default_rng(1))
    widths = Widths(known=2, static=3, waves=WIDTHS.waves, hold=hold)
    times = jnp.asarray(np.random.default_rng(2).uniform(-1, 3, (BATCH, 9)), jnp.float32)
    found = np.asarray(one.along(times, widths))
    for index in range(BATCH):
        knots, at = np.asarray(one.knots[index]), np.asarray(times[index])
        for column in range(2):
            values = np.asarray(one.known[index, :, column])
            wanted = np.interp(at, knots, values)
            if hold:
                wanted = values[np.maximum(np.searchsorted(knots, at, side="right") - 1, 0)]
            np.testing.assert_allclose(found[index, :, column], wanted, atol=1e-5)
        angle = at[:, None] * np.array(WIDTHS.waves) + np.asarray(one.phase[index])
        np.testing.assert_allclose(found[index, :, 2:4], np.cos(angle), atol=1e-3)
        np.testing.assert_allclose(found[index, :, 6:], np.tile(one.static[index], (9, 1)))
    np.testing.assert_array_equal(one.now(widths), one.along(jnp.zeros((BATCH, 1)), widths)[:, 0])


def test_a_field_is_not_told_of_waves_that_its_steps_can_not_follow():
    told = [*range(2), 2, 4, 6, 7, 8]  # the second wave is too fast
    assert WIDTHS.felt == tuple(told) and WIDTHS.forcing == 9
    model = latent_ode()
    assert model.field.mlp.in_size == 3 + len(told) and model.decoder.in_size == 3 + 9


@pytest.mark.core
@pytest.mark.parametrize("offset", [0.0, 0.013, 0.031])
def test_no_pulse_is_passed_over_wherever_the_steps_begin(offset):
    """The integral of a path with a single pulse of a thirtieth of a horizon, to rounding."""
    knots = jnp.arange(-1, 33, dtype=jnp.float32) / 30 + offset
    pulse = jnp.zeros((34, 1)).at[17].set(1.0)
    one = Drive(knots, pulse, jnp.zeros(0), jnp.zeros(0))
    widths = Widths(known=1)
    grid = jnp.linspace(0, 1, 31)
    found = solve(
        lambda t, y: one.at(t, widths),
        jnp.zeros(1),
        jnp.array([0.0, 1.0]),
        **solver_on(grid[None]) | {"grid": grid},
    )
    np.testing.assert_allclose(found.ys[-1], 1 / 30, rtol=1e-3)


@pytest.mark.slow
@models
@pytest.mark.parametrize("grid", [True, False])
def test_losses_and_gradients_are_finite_and_every_input_is_felt(make, grid):
    context, target = window(grid=grid)
    model = make()

    @eqx.filter_jit
    @eqx.filter_grad
    def gradient(drive, model):
        given = eqx.tree_at(lambda c: c.exogenous.drive, context, drive)
        return model.loss(given, target, KEY, jnp.ones(()))[0]

    found = gradient(context.exogenous.drive, model)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    # Inputs after the origin as well as before: at the knots around each asked time.
    assert (np.abs(found.known).sum(axis=(1, 2)) > 0).all()
    assert (np.abs(found.static) > 0).all() and (np.abs(found.phase) > 0).all()


@models
def test_readings_change_what_is_predicted_and_masked_ones_do_not(make):
    context, target = window()
    model = make()
    predict = eqx.filter_jit(lambda c: model.predict(c, target.times, KEY, 1).mean)
    before = predict(context)
    shifted = context.exogenous.values.at[:, :, 0].add(3.0)
    seen = eqx.tree_at(lambda c: c.exogenous.values, context, shifted)
    hidden = context.exogenous.mask.at[:, :, 0].set(False)
    blind = [eqx.tree_at(lambda c: c.exogenous.mask, c, hidden) for c in (context, seen)]
    assert np.abs(predict(seen) - before).max() > 1e-4
    np.testing.assert_array_equal(predict(blind[0]), predict(blind[1]))


def test_a_model_without_covariates_is_what_it_was():
    """The same structure and the same weights from the same key."""
    plain = LatentODE(CHANNELS, 3, 8, "rnn", (6.0,), key=KEY)
    told = LatentODE(CHANNELS, 3, 8, "rnn", (6.0,), key=KEY, covariates=Widths())
    for one, other in zip(*(jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in (plain, told))):
        np.testing.assert_array_equal(one, other)
    assert plain.decoder.in_size == 3 and plain.field.mlp.in_size == 3 + 2
    assert Widths().forcing == Widths().read == len(Widths().felt) == 0
