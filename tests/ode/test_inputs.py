"""Inputs: paths between values, and solves that they drive."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import InputError, solve
from isocline.ode import ConstantPath, HermitePath, LinearPath

pytestmark = pytest.mark.usefixtures("x64")

TIGHT = {"rtol": 1e-9, "atol": 1e-11}
KNOTS, VALUES = np.array([0.0, 0.7, 1.0, 2.5]), np.array([1.0, -2.0, 0.5, 3.0])


def leak(t, y, args, u):
    return u - y


def test_paths_between_their_values():
    constant, linear = ConstantPath(KNOTS, VALUES), LinearPath(KNOTS, VALUES)
    ts = np.array([-1.0, 0.0, 0.69, 0.7, 0.85, 2.4, 2.5, 9.0])
    np.testing.assert_array_equal(jax.vmap(constant)(ts), VALUES[[0, 0, 0, 1, 1, 2, 3, 3]])
    np.testing.assert_allclose(jax.vmap(linear)(ts), np.interp(ts, KNOTS, VALUES), rtol=1e-12)


def test_a_hermite_path_is_smooth_and_exact_on_cubics():
    def cubic(t):
        return t**3 - 2 * t**2 + 0.5 * t + 1

    slopes = jax.vmap(jax.grad(cubic))(KNOTS)
    ts = np.linspace(0.0, 2.5, 23)
    path = HermitePath(KNOTS, cubic(KNOTS), slopes)
    np.testing.assert_allclose(jax.vmap(path)(ts), cubic(ts), rtol=1e-12, atol=1e-12)
    path = HermitePath(KNOTS, {"a": VALUES, "b": np.stack([VALUES, 2 * VALUES], 1)})
    for knot, value in zip(KNOTS, VALUES, strict=True):
        np.testing.assert_allclose(path(knot)["b"], [value, 2 * value], rtol=1e-12)
    slope = jax.grad(lambda t: path(t)["a"])
    np.testing.assert_allclose(slope(1.0 - 1e-9), slope(1.0 + 1e-9), rtol=1e-6)


def test_a_hermite_path_does_not_know_what_is_to_come():
    changed = np.array([1.0, -2.0, 0.5, 99.0])
    ts = np.linspace(0.0, 1.0, 9)
    before, after = (jax.vmap(HermitePath(KNOTS, values))(ts) for values in (VALUES, changed))
    np.testing.assert_array_equal(before, after)


def test_a_constant_input_brings_its_breakpoints():
    path = ConstantPath(KNOTS, VALUES)
    solution = solve(leak, np.zeros(1), [0.0, 0.7, 1.0, 2.5, 3.0], inputs=path, **TIGHT)
    y, exact = 0.0, []
    for value, span in zip(VALUES, [0.7, 0.3, 1.5, 0.5], strict=True):
        y = value + (y - value) * np.exp(-span)
        exact.append(y)
    np.testing.assert_allclose(solution.ys[1:, 0], exact, rtol=1e-8)
    blind = solve(lambda t, y: path(t) - y, np.zeros(1), [0.0, 3.0], **TIGHT)
    assert 3 * solution.stats.rejected < blind.stats.rejected


@pytest.mark.parametrize("kind", [ConstantPath, LinearPath, HermitePath])
@pytest.mark.parametrize("adjoint", ["replay", "forward"])
def test_gradients_by_the_values(kind, adjoint):
    """The solve is linear in the values: its Jacobian is its value at each unit vector."""

    @jax.jit
    def final(values):
        path = kind(KNOTS, values)
        options = {"inputs": path, "breakpoints": KNOTS, "adjoint": adjoint}
        return solve(leak, np.zeros(1), [0.0, 3.0], **options, **TIGHT).ys[-1, 0]

    units = jnp.stack([final(unit) for unit in np.eye(4)])
    slopes = (jax.jacfwd if adjoint == "forward" else jax.jacrev)(final)(jnp.asarray(VALUES))
    np.testing.assert_allclose(slopes, units, atol=1e-7)


def test_single_precision_sees_jumps_from_the_right_side():
    """Times that single precision has to round: where they jump, path and solve agree."""
    knots = np.array([0.1, 0.2, 0.3]) + 1e-9
    seen = []

    def field(t, y, args, u):
        jax.debug.callback(lambda t, u: seen.append((float(t), float(u))), t, u)
        return u * jnp.ones_like(y)

    path = ConstantPath(knots, np.array([1.0, 2.0, 3.0]))
    solve(field, np.zeros(1, np.float32), np.float32([0.1, 0.4]), inputs=path)
    jax.effects_barrier()
    rounded = knots.astype(np.float32)
    assert all(u == 1 + (t > rounded[1]) + (t > rounded[2]) for t, u in seen)


def test_trajectories_with_paths_of_their_own_take_them_as_args():
    values = np.stack([VALUES, 2 * VALUES])
    paths = eqx.filter_vmap(lambda values: LinearPath(KNOTS, values))(jnp.asarray(values))
    batch = solve(
        lambda t, y, path: path(t) - y,
        np.zeros((2, 1)),
        [0.0, 3.0],
        paths,
        batch="independent",
        args_axes=0,
        **TIGHT,
    )
    alone = solve(leak, np.zeros(1), [0.0, 3.0], inputs=LinearPath(KNOTS, VALUES), **TIGHT)
    np.testing.assert_allclose(batch.ys[:, -1], alone.ys[-1] * np.array([[1], [2]]), rtol=1e-7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: LinearPath([0.0, 2.0, 1.0], np.ones(3)), "must rise"),
        (lambda: LinearPath([0.0, np.nan], np.ones(2)), "must rise"),
        (lambda: LinearPath([0.0, 1.0], np.ones(3)), "2 entries"),
        (lambda: LinearPath([0.0, 1.0], [1.0, 2.0]), "2 entries"),
        (lambda: LinearPath([0.0, 1.0], np.array([1.0, np.nan])), "finite"),
        (lambda: LinearPath([0.0], np.ones(1)), "at least 2"),
        (lambda: HermitePath([0.0, 1.0], np.ones(2), np.ones((2, 2))), "structure"),
        (lambda: solve(leak, np.ones(1), [0.0, 1.0], inputs=3.0), "must be a path"),
    ],
)
def test_wrong_paths_are_told(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()
