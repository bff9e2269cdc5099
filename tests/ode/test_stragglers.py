"""Lanes that take many times the steps of the others are solved alone: nobody waits for them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import Status, solve
from isocline.ode.tools.counting import Counter

LANES, SLOW = 40, (5, 17)
TS = np.array([0.0, 0.4, 1.0], np.float32)
RATES = jnp.ones(LANES).at[jnp.array(SLOW)].set(jnp.array([60.0, 80.0]))
STARTS = jnp.asarray(np.random.default_rng(0).normal(size=(LANES, 2)), jnp.float32)


def turn(t, y, args):
    rate, shared = args
    return shared * (rate * jnp.stack([y[1], -y[0]]) * (1 + t) - 0.1 * y**3)


def run(y0, rates, shared=1.0, f=turn, **options):
    options = {"rtol": 1e-5, "max_steps": 8000} | options
    args = rates, jnp.asarray(shared, y0.dtype)
    return solve(f, y0, TS, args, batch="independent", args_axes=(0, None), **options)


def total(y0, rates, shared, **options):
    return jnp.sum(jnp.sin(3 * run(y0, rates, shared, **options).ys))


def test_a_slow_lane_is_what_it_is_alone_and_so_is_what_it_costs():
    """To the bit, for it is solved so."""
    many = run(STARTS, RATES)
    for lane in SLOW:
        alone = run(STARTS[lane : lane + 1], RATES[lane : lane + 1])
        np.testing.assert_array_equal(many.ys[lane], alone.ys[0])
        for name in ("accepted", "rejected", "nfe", "nfe_backward"):
            assert int(getattr(many.stats, name)[lane]) == int(getattr(alone.stats, name)[0]), name
    assert int(many.stats.accepted[SLOW[0]]) > 20 * int(many.stats.accepted[0])


@pytest.mark.slow
def test_no_lane_pays_for_a_slow_one():
    """What is evaluated is little more than what the lanes need, forward and backward."""
    counter = Counter()
    f = counter.counted(turn)
    value, _ = jax.value_and_grad(lambda shared: total(STARTS, RATES, shared, f=f))(1.0)
    jax.block_until_ready(value)
    jax.effects_barrier()
    stats = run(STARTS, RATES).stats
    # Slow lanes are solved again for their gradient; waited for, they would cost some 20 times it.
    assert counter.evaluations < 3 * int(jnp.sum(stats.nfe))
    assert counter.pullbacks < 2 * int(jnp.sum(stats.nfe_backward))


@pytest.mark.slow
def test_gradients_of_slow_lanes_are_those_of_each_alone():
    """Of the start, of what each lane has of its own, and of what all share."""

    def each(y0, rate, shared):
        return total(y0[None], rate[None], shared)

    found = jax.grad(total, (0, 1, 2))(STARTS, RATES, 1.0)
    lane = jax.jit(jax.grad(each, (0, 1, 2)))
    alone = [lane(STARTS[i], RATES[i], 1.0) for i in range(LANES)]
    for index in (0, 1):
        np.testing.assert_allclose(
            found[index], jnp.stack([one[index] for one in alone]), rtol=1e-3, atol=1e-3
        )
    np.testing.assert_allclose(found[2], sum(one[2] for one in alone), rtol=1e-4)
    _, tangent = jax.jvp(
        lambda shared: total(STARTS, RATES, shared, adjoint="forward"), (1.0,), (1.0,)
    )
    np.testing.assert_allclose(tangent, found[2], rtol=1e-3)


@pytest.mark.slow
def test_many_bunches_and_vmap_leave_their_slow_lanes_as_well():
    """More lanes than step together, and `jax.vmap` of a solve."""
    count = 150
    y0 = jnp.tile(STARTS, (4, 1))[:count]
    rates = jnp.ones(count).at[jnp.array([3, 140])].set(70.0)

    def mapped(shared):
        def one(y0, rate):
            return solve(turn, y0, TS, (rate, shared), rtol=1e-5, max_steps=8000).ys

        return jnp.sum(jnp.sin(3 * jax.vmap(one)(y0, rates)))

    together, bar = jax.value_and_grad(lambda shared: total(y0, rates, shared))(jnp.float32(1.0))
    value, mapped_bar = jax.value_and_grad(mapped)(jnp.float32(1.0))
    np.testing.assert_allclose(value, together, rtol=1e-4)  # the programs round otherwise
    np.testing.assert_allclose(mapped_bar, bar, rtol=1e-3)
    for lane in (3, 140):
        alone = run(y0[lane : lane + 1], rates[lane : lane + 1])
        np.testing.assert_array_equal(run(y0, rates).ys[lane], alone.ys[0])


def test_a_slow_lane_that_fails_is_told_and_has_no_gradient():
    """It is given up alone, with a gradient of zero; the others have theirs."""
    options = {"max_steps": 100, "on_failure": "mask"}
    found = run(STARTS, RATES, **options)
    assert [Status(int(found.status[lane])) for lane in SLOW] == [Status.MAX_STEPS] * 2
    assert int(jnp.sum(found.success)) == LANES - 2
    y_bar, rate_bar = jax.grad(total, (0, 1))(STARTS, RATES, 1.0, **options)
    slow = np.array(SLOW)
    assert np.isfinite(y_bar).all() and np.isfinite(rate_bar).all()
    assert not y_bar[slow].any() and not rate_bar[slow].any()
    assert np.delete(rate_bar, slow).all()
