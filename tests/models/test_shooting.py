"""Multiple shooting: what one segment is, what ties several, and that gradients stay within one."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.models import Context, Drive, Exogenous, Knots, LatentODE, Target, Widths
from isocline.models.likelihood import divergence_from_prior, gaussian_divergence
from isocline.models.shooting import TIE, by_segments, cut, features_at
from isocline.nn import Surroundings

BATCH, ROWS, TIMES, CHANNELS = 3, 5, 6, 2
KEY = jax.random.key(4)
FINE = (("rtol", 1e-6), ("atol", 1e-7), ("max_steps", 512))
WEIGHT = jnp.float32(0.7)


def model(**options):
    frequencies = options.pop("frequencies", (6.0, 2.0))
    settings = {"forced": (0,), "solver": FINE} | options
    return LatentODE(CHANNELS, 3, 8, "attention", frequencies, key=KEY, **settings)


def data(seed=0, exogenous=None):
    rng = np.random.default_rng(seed)
    times = -np.sort(rng.uniform(0, 1, (BATCH, ROWS)), axis=1)
    mask = rng.random((BATCH, ROWS, CHANNELS)) < 0.8
    values = np.where(mask, rng.normal(size=mask.shape), 0)
    parts = (jnp.asarray(part, "f4") for part in (times, values))
    phase = jnp.asarray(rng.uniform(0, 6, (BATCH, 2)), "f4")
    context = Context(*parts, jnp.asarray(mask), phase, exogenous)
    asked = np.sort(rng.uniform(0.05, 1, (BATCH, TIMES)), axis=1)
    asked[1, -2:] = asked[1, -3]  # padding
    seen = rng.random((BATCH, TIMES, CHANNELS)) < 0.8
    seen[1, -2:] = False
    values = jnp.asarray(rng.normal(size=seen.shape), "f4")
    return context, Target(jnp.asarray(asked, "f4"), values, jnp.asarray(seen))


def driven():
    rng = np.random.default_rng(5)
    knots = jnp.linspace(-1.0, 1.5, 8) + jnp.zeros((BATCH, 1))
    known = jnp.asarray(rng.normal(size=(BATCH, 8, 1)), "f4")
    drive = Drive(knots, known, jnp.asarray(rng.uniform(0, 6, (BATCH, 1)), "f4"), jnp.ones((3, 1)))
    read = jnp.zeros((BATCH, ROWS, 3))
    grid = jnp.linspace(0.0, 1.0, 241) + jnp.zeros((BATCH, 1))
    return Exogenous(read, read > 1, drive, grid)


WIDTHS = Widths(known=1, static=1, waves=(4.0,))


@eqx.filter_jit
def loss(model, context, target):
    return model.loss(context, target, KEY, WEIGHT)


KINDS = {
    "plain": ({}, None),
    "anchored": ({"anchored": True}, None),
    "together": ({"knots": Knots(1.0, 32)}, None),
    "intensity": ({"intensity": True}, None),
    "driven": ({"covariates": WIDTHS}, driven),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_segment_is_the_plain_bound(kind):
    options, make = KINDS[kind]
    context, target = data(exogenous=make and make())
    plain, one = model(**options), model(**options, shooting=1)
    same = jax.tree.map(np.array_equal, plain, eqx.tree_at(lambda m: m.shooting, one, None))
    assert all(jax.tree.leaves(same))
    expected, found = (loss(each, context, target) for each in (plain, one))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert float(found[1]["gap"]) == 0
    np.testing.assert_allclose(found[1]["kl"], expected[1]["kl"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["together", "intensity", "driven"])
def test_segments_that_meet_are_one_trajectory(kind):
    """From the states that the whole solve has at the cuts, all is as it was: also the time."""
    options, make = KINDS[kind]
    context, target = data(exogenous=make and make())
    whole = model(**options)
    z0, exogenous = whole.encode(context)[0], context.exogenous
    rows, starts = cut(target.times, 4)
    ends = jnp.concatenate([starts, target.times[:, -1:]], axis=1)
    path = eqx.filter_jit(whole.path)
    states, *_ = path(z0, context.phase, ends, exogenous)
    expected, counts, _ = path(z0, context.phase, target.times, exogenous)
    given = states[:, :-1], (rows, starts), context
    found, reached, counted, _ = eqx.filter_jit(by_segments)(whole, *given)
    found = found[:, :TIMES]
    np.testing.assert_allclose(found, expected, atol=3e-4)
    np.testing.assert_allclose(reached, states[:, 1:], atol=3e-4)
    assert (counts is None) == (counted is None)
    if counts is not None:
        np.testing.assert_allclose(counted[:, :TIMES], counts, rtol=1e-3)


def test_segments_hold_equally_many_times_and_begin_at_their_first():
    times = jnp.float32([[0.1, 0.2, 0.4, 0.5, 0.7], [0.3, 0.6, 0.6, 0.6, 0.6]])
    rows, starts = cut(times, 3)
    np.testing.assert_allclose(rows[0], [[0.1, 0.2], [0.4, 0.5], [0.7, 0.7]])
    np.testing.assert_allclose(starts, [[0, 0.4, 0.7], [0, 0.6, 0.6]])


def test_segments_of_padding_are_not_tied():
    context, target = data()
    shot = model(shooting=3, tie=1e-3)
    padded = Target(
        jnp.concatenate([target.times, jnp.repeat(target.times[:, -1:], 3, axis=1)], axis=1),
        jnp.pad(target.values, ((0, 0), (0, 3), (0, 0))),
        jnp.pad(target.mask, ((0, 0), (0, 3), (0, 0))),
    )
    seen = eqx.tree_at(lambda t: t.mask, target, jnp.ones_like(target.mask))
    assert float(loss(shot, context, padded)[1]["gap"]) > 0
    # With as many rows a segment as there are, the others hold nothing.
    far = eqx.tree_at(lambda t: t.times, seen, jnp.full_like(seen.times, 0.5))
    alone = Target(*(jnp.concatenate([leaf, jnp.zeros_like(leaf), jnp.zeros_like(leaf)], axis=1)
                     for leaf in (far.times, far.values, far.mask)))  # fmt: skip
    alone = eqx.tree_at(lambda t: t.times, alone, jnp.full_like(alone.times, 0.5))
    assert float(loss(shot, context, alone)[1]["gap"]) == 0


def test_the_penalty_vanishes_where_states_agree_and_grows_with_the_gap():
    mean = jnp.float32([0.3, -2.0])
    std = jnp.full(2, TIE)
    np.testing.assert_allclose(gaussian_divergence(mean, std, mean, TIE), 0, atol=1e-6)
    np.testing.assert_allclose(gaussian_divergence(mean, std, mean + 3 * TIE, TIE), 4.5, rtol=1e-4)
    wide = gaussian_divergence(mean[None], std[None], jnp.zeros((1, 2)), 1.0)
    np.testing.assert_allclose(jnp.sum(wide), divergence_from_prior(mean[None], std[None]), 1e-5)


def test_no_gradient_passes_through_two_segments():
    """What the last segment says does not depend on where the first one began."""
    context, target = data()
    whole = model()
    parts = cut(target.times, 3)

    def last(states):
        return jnp.sum(by_segments(whole, states, parts, context)[0][:, -1])

    slope = jax.jit(jax.grad(last))(jnp.ones((BATCH, 3, 3)))
    assert float(jnp.abs(slope[:, :2]).max()) == 0
    assert float(jnp.abs(slope[:, 2]).min()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["anchored", "driven"])
def test_the_gradient_is_finite_also_where_nothing_is_asked(kind):
    options, make = KINDS[kind]
    context, target = data(exogenous=make and make())
    nothing = jnp.arange(BATCH) == 0
    times = jnp.where(nothing[:, None], 0, target.times)
    target = Target(times, target.values, target.mask & ~nothing[:, None, None])
    shot = model(**options, shooting=3)
    compute = eqx.filter_value_and_grad(loss, has_aux=True)
    (value, _), gradient = compute(shot, context, target)
    assert np.isfinite(float(value))
    leaves = jax.tree.leaves(gradient)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)
    # Also what tells the states and what ties them learns.
    assert float(jnp.abs(gradient.shooting.posterior.weight).max()) > 0
    assert float(jnp.abs(gradient.posterior.weight).max()) > 0


def test_surroundings_know_both_sides_and_nothing_that_was_not_observed():
    context, target = data()
    around = Surroundings(CHANNELS, 4, key=KEY)
    at = jnp.full((BATCH, 1), 0.4)
    features = features_at(around, model(), context, target, at)
    assert features.shape == (BATCH, 1, 4)
    for part, name in ((context, "context"), (target, "target")):
        noise = jnp.where(part.mask, 0, 7.0)
        unseen = eqx.tree_at(lambda p: p.values, part, part.values + noise)
        given = (unseen, target) if name == "context" else (context, unseen)
        np.testing.assert_allclose(features_at(around, model(), *given, at), features, atol=1e-5)
        seen = eqx.tree_at(lambda p: p.values, part, part.values + 1.0)
        given = (seen, target) if name == "context" else (context, seen)
        assert float(jnp.abs(features_at(around, model(), *given, at) - features).min()) > 1e-4


def test_a_shift_of_level_is_none_of_an_anchored_models_states():
    """The states of segments say what is beside the level of the context."""
    context, target = data()
    anchored = model(anchored=True)
    one = eqx.tree_at(
        lambda m: (m.level.raw_share, m.level.log_fade),
        anchored,
        (jnp.full(CHANNELS, 20.0), jnp.full(CHANNELS, -20.0)),
    )
    seen = jnp.ones_like(context.mask), jnp.ones_like(target.mask)
    context = eqx.tree_at(lambda c: c.mask, context, seen[0])
    target = Target(target.times, target.values, seen[1])
    lifted = eqx.tree_at(lambda c: c.values, context, context.values + 5.0)
    higher = Target(target.times, target.values + 5.0, target.mask)
    around, at = Surroundings(CHANNELS, 4, key=KEY), jnp.full((BATCH, 1), 0.4)
    np.testing.assert_allclose(
        features_at(around, one, lifted, higher, at),
        features_at(around, one, context, target, at),
        atol=1e-4,
    )
