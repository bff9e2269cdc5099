"""Dense output: the solution as a function of time, for every method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import InputError, Status, solve
from isocline.ode import METHODS
from isocline.ode.tableaus import ByDiffrax

pytestmark = pytest.mark.usefixtures("x64")

OURS = [name for name, method in METHODS.items() if not isinstance(method, ByDiffrax)]
TS = np.linspace(0.0, 3.0, 31)


def circle(t, y):
    return {"q": y["p"], "p": -y["q"]}


def start():
    return {"q": np.ones(1), "p": np.zeros(1)}


@pytest.mark.parametrize("name", OURS)
def test_every_method_gives_what_it_saves(name):
    """At any time the interpolant is what the solve itself would save there."""
    fixed = not METHODS[name].adaptive
    symplectic = name in ("leapfrog", "yoshida4", "blanes_moan4", "blanes_moan6")
    y0 = (np.ones(1), np.zeros(1))
    options = {"steps": 24} if fixed else {"rtol": 1e-5, "atol": 1e-7}
    solution = solve(
        lambda t, y: (y[1], -y[0]), y0, TS, method=name, dense=True, max_steps=800, **options
    )
    path = solution.interpolant
    assert symplectic <= fixed
    for value, saved in zip(path(TS), solution.ys, strict=True):
        np.testing.assert_allclose(value, saved, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(path.derivative(TS)[0], path(TS)[1], atol=0.1)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(lambda t: path(t)[0][0]))(TS[1:-1] + 0.01),
        path.derivative(TS[1:-1] + 0.01)[0][:, 0],
        rtol=1e-8,
        atol=1e-9,
    )


def test_shapes_and_times_outside():
    solution = solve(circle, start(), [0.0, 3.0], dense=True, max_steps=100, rtol=1e-8, atol=1e-9)
    path = solution.interpolant
    assert path(1.0)["q"].shape == (1,) and path(np.ones((2, 3)))["q"].shape == (2, 3, 1)
    np.testing.assert_allclose(path(TS)["q"][:, 0], np.cos(TS), atol=1e-7)
    assert np.isnan(path(np.array([-0.1, 3.1]))["q"]).all()
    assert np.isfinite(path(np.array([0.0, 3.0]))["q"]).all()
    np.testing.assert_allclose(jax.jit(lambda t: path(t))(TS)["q"], path(TS)["q"])


def test_backwards_far_from_zero():
    ts = np.float32([1000.0, 998.0])
    solution = solve(lambda t, y: -y, np.ones(1, np.float32), ts, dense=True, max_steps=99)
    path = solution.interpolant
    np.testing.assert_allclose(
        path(np.float32([1000.0, 999.0, 998.0]))[:, 0], np.exp([0, 1, 2]), rtol=1e-3
    )
    np.testing.assert_allclose(path.derivative(999.0), -np.exp([1.0]), rtol=1e-3)


def test_lanes_have_paths_of_their_own():
    ends = np.array([[0.0, 3.0], [0.0, 1.0], [2.0, -1.0], [0.0, 3.0]])
    y0 = np.array([[1.0], [2.0], [1.0], [-1.0]])
    solution = solve(
        lambda t, y: jnp.where(y > 0, -y, y**2 * 1e9),
        y0,
        ends,
        dense=True,
        max_steps=60,
        batch="independent",
        on_failure="return",
        rtol=1e-7,
        atol=1e-9,
    )
    ts = np.array([0.5, 2.5])
    values = np.asarray(solution.interpolant(ts)[..., 0])
    np.testing.assert_allclose(values[:2, 0], [np.exp(-0.5), 2 * np.exp(-0.5)], rtol=1e-6)
    np.testing.assert_allclose(values[2, 0], np.exp(1.5), rtol=1e-6)
    assert np.isnan(values[1:3, 1]).all()
    assert solution.status[3] != Status.SUCCESS or np.isfinite(values[3]).all()


def test_mapped_solves_have_paths_of_their_own():
    """Whether the interpolant is asked inside of `jax.vmap` or outside, of one lane or of many."""
    ts, starts = np.array([0.5, 0.75]), np.array([[1.0], [2.0], [3.0]])

    def path(y0, **options):
        options |= {"dense": True, "max_steps": 30}
        return solve(lambda t, y: -y, y0, [0.0, 1.0], **options).interpolant

    exact = starts[:, None] * np.exp(-ts)[:, None]
    outside, inside = jax.vmap(path)(starts), jax.vmap(lambda y0: path(y0)(ts))(starts)
    for values in (outside(ts), inside, jax.jit(outside.__call__)(ts)):
        np.testing.assert_allclose(values, exact, rtol=1e-3)
    np.testing.assert_allclose(outside.derivative(0.5), -exact[:, 0], rtol=1e-2)
    lanes = jax.vmap(lambda y0: path(y0, batch="independent"))(starts[None] * np.ones((2, 1, 1)))
    np.testing.assert_allclose(lanes(ts), [exact, exact], rtol=1e-3)


def test_complex_states():
    solution = solve(lambda t, y: 1j * y, np.ones(2, complex), [0.0, 3.0], dense=True, max_steps=99)
    np.testing.assert_allclose(solution.interpolant(TS)[:, 0], np.exp(1j * TS), atol=1e-3)


def test_gradients_of_the_saved_values_stay_and_others_are_told():
    def saved(y0):
        solution = solve(lambda t, y: -y, y0, [0.0, 1.0], dense=True, max_steps=99)
        return solution.ys[-1, 0]

    def between(y0):
        solution = solve(lambda t, y: -y, y0, [0.0, 1.0], dense=True, max_steps=99)
        return solution.interpolant(0.5)[0]

    np.testing.assert_allclose(jax.grad(saved)(jnp.ones(1)), np.exp(-1), rtol=1e-3)
    with pytest.raises(InputError, match="interpolant has no gradient"):
        jax.grad(between)(jnp.ones(1))
    with pytest.raises(InputError, match="dense"):
        solve(circle, start(), [0.0, 1.0], dense=True, breakpoints=[0.5])
