"""The reversible adjoint: exact, for every explicit method, and without a record of states."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import METHODS, SolveError, Status, solve

pytestmark = pytest.mark.usefixtures("x64")
# One of each kind: every order, with and without FSAL, low-storage, with more stages for output.
EXPLICIT = ["euler", "heun", "ssprk3", "bosh3", "rk4", "ck54", "tsit5", "dopri8"]
TURN = np.array([[-0.1, 2.0], [-2.0, -0.1]])
START = np.array([1.0, 0.5])


def field(t, y, rate):
    return jnp.tanh(TURN @ y) * rate + 0.1 * jnp.sin(t) * y


def loss(rate, y0, ts, adjoint="reversible", **options):
    options = {"rtol": 1e-9, "atol": 1e-9} | options
    solution = solve(field, y0, ts, rate, t0=0.0, adjoint=adjoint, **options)
    return jnp.sum(jnp.sin(solution.ys)), solution


@pytest.mark.parametrize("name", EXPLICIT)
def test_gradient_is_exact_for_the_computed_solution(name):
    """Against finite differences at few fixed steps, where the solution itself is inexact."""

    def value(rate):
        return loss(rate, START, [3.0], method=name, steps=7)[0]

    def central(step):
        return (value(1.3 + step) - value(1.3 - step)) / (2 * step)

    wanted = (4 * central(1e-4) - central(2e-4)) / 3
    np.testing.assert_allclose(jax.grad(value)(1.3), wanted, rtol=1e-8)


@pytest.mark.parametrize("name", ["bosh3", "tsit5"])
def test_order_is_kept(name):
    exact = loss(1.3, START, [3.0], "replay", rtol=1e-12, atol=1e-12)[0]
    errors = [abs(loss(1.3, START, [3.0], method=name, steps=n)[0] - exact) for n in (40, 80)]
    assert np.log2(errors[0] / errors[1]) > METHODS[name].order - 0.4


@pytest.mark.parametrize("times", [1, 6])
def test_it_agrees_with_replay_in_state_parameters_and_times(times):
    ts = jnp.linspace(0, 3, times + 1)[1:]
    for ours, replayed in zip(
        jax.grad(loss, (0, 1, 2), has_aux=True)(1.3, START, ts)[0],
        jax.grad(loss, (0, 1, 2), has_aux=True)(1.3, START, ts, "replay")[0],
    ):
        np.testing.assert_allclose(ours, replayed, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
def test_independent_trajectories_each_walk_their_own_way_back():
    """Also more of them than step together, and one that fails."""
    rates = jnp.linspace(0.2, 3.0, 150)
    starts = jnp.ones((150, 2)).at[3].set(jnp.nan)

    def total(rates, adjoint):
        options = {"batch": "independent", "args_axes": 0, "on_failure": "mask"}
        return jnp.sum(
            solve(field, starts, [0.0, 2.0], rates, adjoint=adjoint, rtol=1e-8, **options).ys[4:]
        )

    ours, replayed = jax.grad(total)(rates, "reversible"), jax.grad(total)(rates, "replay")
    assert ours[3] == 0
    np.testing.assert_allclose(ours, replayed, rtol=1e-4, atol=1e-5)


def test_counts_are_exact():
    calls = []

    def counted(t, y):
        jax.debug.callback(lambda: calls.append(1))
        return -y

    def total(y0):
        solution = solve(counted, y0, [0.0, 2.0], adjoint="reversible", dt0=0.1, rtol=1e-6)
        return jnp.sum(solution.ys), solution

    _, solution = total(jnp.ones(2))
    jax.effects_barrier()
    assert len(calls) == int(solution.stats.nfe)


def test_memory_of_a_gradient_does_not_grow_with_the_steps():
    """Of the same program: 100 times the steps need the same buffers (times of steps apart)."""
    state = jnp.ones(4096)

    def gradient(y0, steps):
        def total(y0):
            out = solve(
                lambda t, y: -y * jnp.cos(y), y0, [0.0, 1.0], adjoint="reversible", steps=steps
            )
            return jnp.sum(out.ys)

        return jax.grad(total)(y0)

    few, many = (
        jax.jit(gradient, static_argnums=1)
        .lower(state, steps)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for steps in (40, 4000)
    )
    assert many - few < 4000 * 8 * 2 and many < 1.05 * few + 4000 * 8 * 2


@pytest.mark.parametrize("steps", [100, 2000, 10_000])
def test_long_solves_in_single_precision_lose_a_third_of_the_digits_at_most(steps):
    """Rounding grows on the way back; it must not drown the gradient, however many the steps."""
    turn, start = jnp.asarray(TURN, jnp.float32), jnp.asarray(START, jnp.float32)

    def total(rate, adjoint):
        def field(t, y, rate):
            return jnp.tanh(turn @ y) * rate + jnp.float32(0.1) * jnp.sin(t) * y

        ts = np.array([10.0], np.float32)
        options = {"t0": 0.0, "steps": steps, "max_steps": steps, "adjoint": adjoint}
        return jnp.sum(solve(field, start, ts, rate, **options).ys ** 2)

    ours, replayed = (jax.grad(total)(jnp.float32(1.3), name) for name in ("reversible", "replay"))
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, replayed, rtol=5e-3)


def test_a_field_that_contracts_much_is_told_and_gives_no_gradient():
    """Its two states drift apart, and no way leads back from a state that has forgotten."""

    def total(rate, how):
        solution = solve(
            lambda t, y, rate: -rate * y + jnp.sin(t),
            jnp.ones(2),
            [0.0, 40.0],
            rate,
            steps=200,
            adjoint="reversible",
            on_failure=how,
        )
        return jnp.sum(solution.ys), solution

    with pytest.raises(SolveError, match=r"drifted apart.*adjoint='replay'"):
        jax.grad(total, has_aux=True)(1.0, "raise")
    slope, solution = jax.grad(total, has_aux=True)(1.0, "return")
    assert slope == 0 and solution.status == Status.STATES_APART
    mild = jax.grad(total, has_aux=True)(0.05, "raise")[1]
    assert mild.status == Status.SUCCESS


def test_states_apart_by_many_tolerances_are_told_however_fine_these_are():
    """By 700 of them at t=40, which is a thousandth of the state; by three at t=10."""

    def run(end, **options):
        def field(t, y):
            return jnp.array([[-0.3, 2.0], [-2.0, -0.3]]) @ y + jnp.sin(t)

        options |= {"rtol": 1e-6, "atol": 1e-8, "on_failure": "return"}
        return solve(field, START, [0.0, end], **options)

    apart = run(40.0, adjoint="reversible")
    error = np.abs(apart.ys[-1] - run(40.0).ys[-1]).max()
    assert apart.status == Status.STATES_APART and 1e-4 < error < 1e-2
    assert run(10.0, adjoint="reversible").status == Status.SUCCESS


def test_what_does_not_go_is_refused_with_the_remedy():
    with pytest.raises(InputError, match="needs an explicit Runge-Kutta method"):
        solve(field, (1.0, 2.0), [0.0, 1.0], method="leapfrog", adjoint="reversible", steps=3)
    with pytest.raises(
        InputError, match="one save time, without dense=True, or use method='tsit5'"
    ):
        solve(field, START, [0.0, 0.5, 1.0], 1.0, method="dopri8", adjoint="reversible")
