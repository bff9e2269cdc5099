"""Laws of independent trajectories, alone and spread over devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from isocline.ode import Status, solve

RATES = np.array([1.0, 30.0, 4.0], np.float32)
TS = np.array([0.0, 0.4, 1.0], np.float32)


def turn(t, y, rate):
    return rate * jnp.stack([y[1], -y[0]]) * (1 + t)


def batch(y0, rates, **options):
    return solve(turn, y0, TS, rates, batch="independent", args_axes=0, rtol=1e-5, **options)


def starts(count):
    return jnp.asarray(np.random.default_rng(0).normal(size=(count, 2)), jnp.float32)


def test_every_lane_equals_its_solo_solve():
    """Own steps, counts and values: a slow neighbour costs a lane nothing."""
    y0 = starts(3)
    many = batch(y0, RATES)
    assert len(set(many.stats.accepted.tolist())) == 3
    for lane in range(3):
        solo = solve(turn, y0[lane], TS, jnp.asarray(RATES[lane]), rtol=1e-5)
        np.testing.assert_allclose(many.ys[lane], solo.ys, rtol=1e-3, atol=1e-4)
        for name in ("accepted", "rejected", "nfe", "nfe_backward"):
            ours, alone = getattr(many.stats, name)[lane], getattr(solo.stats, name)
            assert int(ours) == pytest.approx(int(alone), rel=0.06), name


def test_lanes_have_their_own_times_directions_and_tolerances():
    """One batch runs forward and backward, loose and tight, from starts of its own."""
    ts = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    solution = solve(
        lambda t, y: -y,
        jnp.ones((3, 1)),
        ts,
        batch="independent",
        rtol=[1e-3, 1e-6, 1e-3],
        atol=1e-7,
    )
    np.testing.assert_allclose(solution.ys[:, -1, 0], np.exp([-1, 1, 0]), rtol=1e-3)
    assert int(solution.stats.accepted[1]) > int(solution.stats.accepted[0])
    assert int(solution.stats.accepted[2]) == 0


def test_failing_lane_has_its_own_status_and_changes_no_neighbour():
    """NaN, blow-up and success side by side; the sound lanes are bit for bit those without it."""

    def field(t, y, kind):
        return jnp.where(kind == 1, y * jnp.sqrt(0.5 - t), jnp.where(kind == 2, 9 * y**2, -y))

    def run(kinds):
        return solve(
            field,
            jnp.ones((len(kinds), 2)),
            TS,
            jnp.array(kinds),
            batch="independent",
            args_axes=0,
            on_failure="return",
        )

    mixed, sound = run([0, 1, 2, 0]), run([0, 0, 0, 0])
    assert [Status(s).name for s in mixed.status.tolist()] == [
        "SUCCESS",
        "NON_FINITE",
        "STEP_UNDERFLOW",
        "SUCCESS",
    ]
    for lane in (0, 3):
        np.testing.assert_array_equal(mixed.ys[lane], sound.ys[lane])
        assert int(mixed.stats.nfe[lane]) == int(sound.stats.nfe[lane])
    assert mixed.explain().startswith("2 of 4 trajectories failed.\nTrajectory 1 met")
    assert 0.4 < float(mixed.ending.t[1]) <= 0.51 and float(mixed.ending.t[2]) < 0.12


@pytest.mark.slow
def test_failing_lane_is_masked_by_its_last_state_and_leaves_a_finite_gradient():
    """`mask`: finite values after the failure, gradient zero there, the neighbour's as if alone."""

    def total(rates, y0):
        options = {"batch": "independent", "args_axes": 0, "on_failure": "mask", "rtol": 1e-5}
        solution = solve(lambda t, y, a: a * y**2, y0, TS, rates, **options)
        return jnp.sum(solution.ys), solution

    rates, y0 = jnp.array([-1.0, 5.0]), jnp.ones((2, 1))
    bar, solution = jax.grad(total, has_aux=True)(rates, y0)
    alone, _ = jax.grad(total, has_aux=True)(rates[:1], y0[:1])
    assert solution.success.tolist() == [True, False]
    assert np.isfinite(solution.ys).all() and np.isfinite(bar).all()
    assert float(solution.ys[1, -1, 0]) > 1e3
    assert bar[1] == 0 and bar[0] != 0
    np.testing.assert_allclose(bar[:1], alone, rtol=1e-5)


def test_coupled_batch_is_one_trajectory():
    """One step for all, as its error norm over everything asks; one status, one count."""
    y0, rates = starts(3), jnp.asarray(RATES)[:, None]

    def field(t, y):
        return rates * jnp.stack([y[:, 1], -y[:, 0]], axis=1) * (1 + t)

    coupled = solve(field, y0, TS, rtol=1e-5)
    own = batch(y0, RATES)
    assert coupled.status.shape == coupled.stats.nfe.shape == () and coupled.ys.shape == (3, 3, 2)
    np.testing.assert_allclose(jnp.swapaxes(coupled.ys, 0, 1), own.ys, rtol=5e-3, atol=1e-3)
    # The fastest sets the pace, a little slower than alone, for its error is one among three.
    fastest = int(own.stats.accepted[1])
    assert 0.7 * fastest < int(coupled.stats.accepted) <= 1.05 * fastest
    assert int(coupled.stats.accepted) > 3 * int(own.stats.accepted[0])
    twice = solve(lambda t, y: -y * t, jnp.ones((2, 4)), TS)
    once = solve(lambda t, y: -y * t, jnp.ones(1), TS)
    assert int(twice.stats.nfe) == int(once.stats.nfe)


def test_coupled_batch_fails_as_one():
    """One NaN stops everybody, in words that name the component, with gradient zero."""

    def total(y0):
        solution = solve(lambda t, y: jnp.sqrt(y) - 2, y0, [0.0, 5.0], on_failure="mask")
        return jnp.sum(solution.ys), solution

    bar, solution = jax.grad(total, has_aux=True)(jnp.array([9.0, 4.0, 0.5]))
    assert int(solution.status) == Status.NON_FINITE and int(solution.ending.component) == 2
    assert not np.asarray(bar).any()


def on_two_devices(function, **options):
    """`function(y0, rates, shared)` with its first two arguments split over two devices."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    specs = {"in_specs": (P("data"), P("data"), P()), "out_specs": options.pop("out_specs")}
    return jax.jit(jax.shard_map(function, mesh=mesh, **specs))


def shared_turn(t, y, args):
    return args[1] * turn(t, y, args[0])


def shard_loss(y0, rates, shared, adjoint):
    solution = solve(
        shared_turn,
        y0,
        TS,
        (rates, shared),
        batch="independent",
        args_axes=(0, None),
        adjoint=adjoint,
        rtol=1e-5,
    )
    return jnp.sum(solution.ys[:, -1] ** 2 * jnp.array([1.0, 3.0])), solution


@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs JAX_NUM_CPU_DEVICES=2")
def test_shards_step_at_their_own_pace_and_equal_the_whole():
    """No all-reduce in the forward program: each device runs its own loop, as long as it needs."""
    y0, rates = starts(4), jnp.array([1.0, 1.5, 20.0, 30.0])

    def run(y0, rates, shared):
        solution = shard_loss(y0, rates, shared, "replay")[1]
        return solution.ys, solution.stats.accepted

    spread = on_two_devices(run, out_specs=(P("data"), P("data")))
    one = jnp.array(1.0)
    ys, accepted = spread(y0, rates, one)
    whole, counts = jax.jit(run)(y0, rates, one)
    np.testing.assert_allclose(ys, whole, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(accepted, counts, rtol=0.03)
    program = spread.lower(y0, rates, one).compile().as_text()
    assert "while" in program and "all-reduce" not in program and "all-gather" not in program


@pytest.mark.slow
@pytest.mark.skipif(len(jax.devices()) < 2, reason="needs JAX_NUM_CPU_DEVICES=2")
@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradient_over_shards_equals_the_whole(adjoint):
    """The shared parameter gets the sum of all devices, from one all-reduce outside the loops."""
    y0, rates, one = starts(4), jnp.array([1.0, 1.5, 6.0, 9.0]), jnp.array(1.0)

    def gradient(y0, rates, shared):
        value = lambda *parts: shard_loss(*parts, adjoint)[0]
        return jax.grad(value, argnums=(0, 1, 2))(y0, rates, shared)

    spread = on_two_devices(gradient, out_specs=(P("data"), P("data"), P()))
    for ours, whole in zip(spread(y0, rates, one), jax.jit(gradient)(y0, rates, one)):
        np.testing.assert_allclose(ours, whole, rtol=2e-3, atol=2e-3)
    program = spread.lower(y0, rates, one).compile().as_text()
    # Fused instructions may name it in several places; what counts is how often it runs.
    assert sum(" all-reduce(" in line for line in program.splitlines()) == 1
