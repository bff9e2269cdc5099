"""What float32 can do: times far from zero, spans close to nothing, a floor of the tolerance."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import ConstantPath, Event, HermitePath, LinearPath, solve


def decay(t, y, rate):
    return -rate * y


def quiet(t, y):
    return -y


def last(rate, ts, **options):
    return solve(decay, jnp.ones(1), ts, rate, rtol=1e-6, **options).ys[-1, 0]


@pytest.mark.parametrize("options", [{}, {"steps": 10}, {"method": "dopri8"}])
@pytest.mark.parametrize("ts", [[1e9, 1e9 + 1], [1e9, 1e9 + 0.25, 1e9 + 1], [1e9 + 1, 1e9]])
def test_a_clock_far_from_zero_loses_nothing(ts, options):
    """Python's numbers differ by one; float32 can not tell them apart."""
    assert np.float32(ts[0]) == np.float32(ts[-1])
    solution = solve(quiet, jnp.ones(1), ts, rtol=1e-6, **options)
    exact = np.exp(ts[0] - np.array(ts))
    assert solution.ys.dtype == np.float32
    np.testing.assert_allclose(solution.ys[:, 0], exact, rtol=1e-5)


def test_a_clock_far_from_zero_takes_the_same_steps():
    near, far = (solve(quiet, jnp.ones(1), [start, start + 8.0], rtol=1e-6) for start in (0.0, 1e9))
    np.testing.assert_array_equal(near.ys, far.ys)
    assert int(near.stats.nfe) == int(far.stats.nfe)


KNOTS = np.array([-0.5, 0.25, 0.5, 1.0, 3.0])


@pytest.mark.parametrize("kind", [ConstantPath, LinearPath, HermitePath])
def test_paths_that_drive_a_solve_far_from_zero(kind):
    """Trajectories with starts and directions of their own; rounded, all knots are one."""
    ts = np.array([[0.0, 0.5, 2.0], [2.0, 0.3, 0.0], [0.75, 0.8, 1.0]])

    def solved(start, ts, **options):
        path = kind(start + KNOTS, np.array([1.0, -2.0, 0.5, 3.0, 1.0]))
        options |= {"inputs": path, "breakpoints": [start + 0.75], "rtol": 1e-6}
        return solve(lambda t, y, args, u: u - y, jnp.zeros((3, 1)), start + ts, **options)

    wide = lambda start: solved(start, ts, batch="independent")
    near, far = wide(0.0), jax.jit(lambda: wide(1e9))()
    np.testing.assert_allclose(far.ys, near.ys, rtol=3e-4)
    alone = solved(1e9, ts[1])
    np.testing.assert_allclose(alone.ys[:, 0], near.ys[1], rtol=1e-4)
    path, other = (kind(start + KNOTS, KNOTS) for start in (0.0, 1e9))
    for t in KNOTS + 0.1:
        np.testing.assert_allclose(other(1e9 + t), path(t), rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_events_and_dense_output_far_from_zero(sign):
    """Plain numbers are told apart; what JAX holds has been rounded, and says how long after."""
    ts, event = 1e9 + sign * np.array([0.0, 2.0]), Event(lambda t, y: y[0] - 0.5)
    options = {"rtol": 1e-6, "max_steps": 99}
    field = lambda t, y: -sign * y
    path = solve(field, jnp.ones(1), ts, dense=True, **options).interpolant
    times = 1e9 + sign * np.array([0.0, 0.25, 1.5, 2.0])
    np.testing.assert_allclose(path(times)[:, 0], np.exp(-np.abs(times - 1e9)), rtol=1e-5)
    np.testing.assert_allclose(path.derivative(times[1])[0], -sign * np.exp(-0.25), rtol=1e-3)
    assert np.isnan(path(1e9 - sign * 0.1)[0]) and np.isnan(path(1e9 + sign * 2.1)[0])
    found = solve(field, jnp.ones(1), ts, events=event, **options).events
    np.testing.assert_allclose(found.elapsed[0], sign * np.log(2), rtol=1e-5)
    assert found.ts[0] == np.float32(1e9)


@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve"])
@pytest.mark.parametrize(("ts", "rate"), [([1e9, 1e9 + 1], 1.0), ([0.0, 1e-12], 1e12)])
def test_gradients_are_right_there(ts, rate, adjoint):
    gradient = jax.grad(lambda scale: last(scale * rate, ts, adjoint=adjoint))(1.0)
    assert float(gradient) == pytest.approx(-np.exp(-1), rel=1e-4)


@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_span_of_1e_minus_12(start, sign):
    """Also beside t=1, where float32 and the span are five orders apart."""
    ts = [start, start + sign * 1e-12]
    rate = 1 / (ts[1] - ts[0])
    assert float(last(rate, ts)) == pytest.approx(np.exp(-1), rel=1e-5)


def test_independent_trajectories_have_clocks_of_their_own():
    ts = np.array([[1e9, 1e9 + 1], [0.0, 1e-12], [5.0, 3.0]])
    rates = jnp.array([1.0, 1e12, -0.5])
    solution = solve(
        decay, jnp.ones((3, 1)), ts, rates, rtol=1e-6, batch="independent", args_axes=0
    )
    np.testing.assert_allclose(solution.ys[:, -1, 0], np.exp(-1), rtol=1e-5)


def test_a_tolerance_below_the_dtype_is_raised_with_a_warning():
    with pytest.warns(UserWarning, match=r"below what float32 resolves.*raised to 4\.8e-07"):
        floored = solve(quiet, jnp.ones(1), [0.0, 1.0], rtol=1e-9, atol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at_floor = solve(quiet, jnp.ones(1), [0.0, 1.0], rtol=4 * 2.0**-23, atol=0.0)
        solve(quiet, jnp.ones(1), [0.0, 1.0], rtol=0.0, atol=1e-5)
    np.testing.assert_array_equal(floored.ys, at_floor.ys)
    assert int(floored.stats.nfe) == int(at_floor.stats.nfe)


def test_double_precision_has_a_floor_of_its_own(x64):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fine = solve(quiet, np.ones(1), [0.0, 1.0], rtol=1e-12, atol=0.0, method="dopri8")
    np.testing.assert_allclose(fine.ys[-1, 0], np.exp(-1), rtol=1e-11)
    with pytest.warns(UserWarning, match="below what float64 resolves"):
        solve(quiet, np.ones(1), [0.0, 1e-3], rtol=1e-17, atol=0.0, method="dopri8")
