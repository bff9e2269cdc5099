"""Gradients in corners: failed lanes, times at the start, repeated points, other dtypes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import Status, solve

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
@pytest.mark.parametrize("trouble", ["nan", "blow-up"])
def test_failed_lane_has_zero_gradient_and_spares_the_others(adjoint, trouble):
    """sqrt and y^2 give the sick lane an infinite or NaN Jacobian, which the others never see."""

    def run(y0, shared):
        solution = solve(
            lambda t, y, a: a * (jnp.sqrt(y) if trouble == "nan" else y**2),
            y0,
            [0.0, 0.4],
            shared,
            batch="independent",
            on_failure="return",
            rtol=1e-8,
            atol=1e-10,
            adjoint=adjoint,
        )
        return jnp.sum(solution.ys[:, -1]), solution

    grad = jax.jit(jax.grad(run, argnums=(0, 1), has_aux=True))
    sick = -1.0 if trouble == "nan" else 100.0
    (start, shared), solution = grad(jnp.array([[1.0], [sick], [0.5]]), jnp.array(1.0))
    (start_well, shared_well), _ = grad(jnp.array([[1.0], [0.5]]), jnp.array(1.0))
    assert (solution.status == Status.SUCCESS).tolist() == [True, False, True]
    assert start[1, 0] == 0
    np.testing.assert_allclose(start[jnp.array([0, 2])], start_well, rtol=1e-12)
    np.testing.assert_allclose(shared, shared_well, rtol=1e-12)
    (start, shared), _ = grad(jnp.array([[sick], [sick]]), jnp.array(1.0))
    assert not start.any() and shared == 0


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_a_save_time_at_the_start_moves_with_the_slope_there(adjoint):
    def value(t0, ts):
        return jnp.sum(
            solve(
                lambda t, y: -y, jnp.ones(1), ts, t0=t0, rtol=1e-10, atol=1e-10, adjoint=adjoint
            ).ys
        )

    t0_bar, ts_bar = jax.grad(value, argnums=(0, 1))(jnp.array(0.0), jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(ts_bar, [-1.0, -np.exp(-1)], rtol=1e-8)
    np.testing.assert_allclose(t0_bar, 1 + np.exp(-1), rtol=1e-8)


def test_repeated_fixed_grid_points_keep_gradients_finite():
    grid = jnp.array([0.0, 0.5, 0.5, 1.0])

    def total(y0):
        return jnp.sum(
            solve(
                lambda t, y: -y * y,
                y0,
                [0.0, 0.3, 1.0],
                grid=grid,
                method="rk4",
                batch="independent",
            ).ys
        )

    y0 = jnp.array([[1.0], [2.0]])
    shift = 1e-6
    numeric = (total(y0.at[1].add(shift)) - total(y0.at[1].add(-shift))) / (2 * shift)
    np.testing.assert_allclose(jax.grad(total)(y0)[1, 0], numeric, rtol=1e-7)


def test_forward_adjoint_refuses_reverse_mode():
    with pytest.raises(ValueError, match="has no reverse mode"):
        jax.grad(lambda y0: jnp.sum(solve(lambda t, y: -y, y0, [0.0, 1.0], adjoint="forward").ys))(
            jnp.ones(1)
        )


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_parameters_of_another_dtype(adjoint):
    y0, rate = jnp.ones(2, jnp.float32), jnp.array(0.5, jnp.float64)
    gradient = jax.grad(
        lambda a: jnp.sum(solve(lambda t, y, a: -a * y, y0, [0.0, 1.0], a, adjoint=adjoint).ys[-1])
    )(rate)
    assert gradient.dtype == jnp.float64
    np.testing.assert_allclose(gradient, -2 * np.exp(-0.5), rtol=1e-4)


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradients_of_float32_stay_float32(adjoint):
    """Also where float64 is switched on: nothing on the way widens them."""

    def total(y0, rate, ts):
        return jnp.sum(solve(lambda t, y, a: -a * y, y0, ts, rate, adjoint=adjoint).ys)

    single = jnp.ones(2, jnp.float32), jnp.float32(0.5), jnp.array([0.0, 1.0], jnp.float32)
    bars = jax.grad(total, argnums=(0, 1, 2))(*single)
    assert {bar.dtype for bar in bars} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(bars[1], -2 * np.exp(-0.5), rtol=1e-3)


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradient_backward_in_time_is_the_one_by_hand(adjoint):
    """y' = -a y from t = 1 to -1: y = exp(2 a), dy/da = 2 exp(2 a) and dy/dy0 half of it."""

    def last(y0, rate):
        options = {"rtol": 1e-10, "atol": 1e-10, "adjoint": adjoint}
        return solve(lambda t, y: -rate * y, y0, [1.0, 0.2, -1.0], **options).ys[-1, 0]

    y_bar, rate_bar = jax.grad(last, argnums=(0, 1))(jnp.ones(1), jnp.array(0.7))
    np.testing.assert_allclose(y_bar, [np.exp(1.4)], rtol=1e-8)
    np.testing.assert_allclose(rate_bar, 2 * np.exp(1.4), rtol=1e-8)


TABLE = np.array([0.5, 2.0])


@jax.custom_vjp
def scaled(y):
    """Closes over a table of numbers, which a derivative rule of one's own has no cotangent for."""
    return TABLE * y


scaled.defvjp(lambda y: (scaled(y), None), lambda _, bar: (TABLE * bar,))


@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve", "direct"])
def test_a_field_may_have_a_derivative_rule_that_closes_over_numbers(adjoint):
    options = {"adjoint": adjoint, "rtol": 1e-8, "atol": 1e-8, "max_steps": 100}

    def last(rate, f):
        return jnp.sum(solve(lambda t, y: -rate * f(y), jnp.ones(2), [0.0, 1.0], **options).ys[-1])

    found = jax.grad(last)(jnp.array(0.7), scaled)
    wanted = jax.grad(last)(jnp.array(0.7), lambda y: jnp.asarray(TABLE) * y)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
