"""Diffrax's implicit methods behind `solve`: the same meaning of everything as with ours."""

from __future__ import annotations

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import Status, solve
from isocline.ode.tableaus import DIFFRAX_METHODS

from .test_stiff import RATES, robertson

pytestmark = pytest.mark.usefixtures("x64")
PLAIN = [name for name, method in DIFFRAX_METHODS.items() if not method.pairs]
PAIRS = [name for name, method in DIFFRAX_METHODS.items() if method.pairs]
TIMES = jnp.array([0.0, 0.4, 40.0])


def loss(rates, y0, method, adjoint="replay"):
    options = {"rtol": 1e-7, "atol": 1e-11, "max_steps": 1000, "adjoint": adjoint}
    solution = solve(robertson, y0, TIMES, rates, method=method, **options)
    return jnp.sum(solution.ys * jnp.array([1.0, 1e4, 2.0])), solution


@pytest.fixture(scope="module")
def ours():
    """Gradients and solution of our own method."""
    with jax.enable_x64(True):
        at = jnp.asarray(RATES), jnp.array([1.0, 0.0, 0.0])
        return jax.grad(loss, (0, 1), has_aux=True)(*at, "rodas5p")


@pytest.mark.slow
@pytest.mark.parametrize("method", PLAIN)
def test_agrees_with_ours_in_values_and_gradients(method, ours):
    at = jnp.asarray(RATES), jnp.array([1.0, 0.0, 0.0])
    # One gradient is enough: it is Diffrax's, and takes long to compile.
    gradient, solution = (), loss(*at, method)[1]
    if method == PLAIN[-1]:
        gradient, solution = jax.grad(loss, (0, 1), has_aux=True)(*at, method)
    np.testing.assert_allclose(solution.ys, ours[1].ys, rtol=2e-5, atol=1e-10)
    np.testing.assert_allclose(solution.ys[0], at[1])
    for found, right in zip(gradient, ours[0], strict=False):
        np.testing.assert_allclose(found, right, rtol=1e-2)
    assert int(solution.stats.nfe) == int(solution.stats.jacobians) == -1
    assert f"of {method}, uncounted field evaluations" in solution.explain()


@pytest.mark.slow
def test_forward_mode():
    at = jnp.asarray(RATES), jnp.array([1.0, 0.0, 0.0])
    forward, _ = jax.jacfwd(loss, has_aux=True)(*at, "kvaerno5", "forward")
    np.testing.assert_allclose(forward, jax.grad(loss, has_aux=True)(*at, "kvaerno5")[0], rtol=1e-6)


def explicit(t, y, rate):
    return rate * jnp.cos(3 * t) * jnp.ones_like(y)


def implicit(t, y, rate):
    return -rate * y


@pytest.mark.slow
@pytest.mark.parametrize("method", PAIRS)
def test_kencarp_takes_a_pair(method):
    """The explicit part and the implicit one; the gradient reaches what both read."""

    def value(rate, f, method):
        options = {"rtol": 1e-6, "atol": 1e-6}
        return jnp.sum(
            solve(f, jnp.ones(2), jnp.linspace(0, 2, 4), rate, method=method, **options).ys
        )

    whole = lambda *at: explicit(*at) + implicit(*at)
    wanted = jax.value_and_grad(value)(20.0, whole, "tsit5")
    if method != PAIRS[-1]:
        found = value(20.0, (explicit, implicit), method)
        np.testing.assert_allclose(found, wanted[0], rtol=2e-3)
        return
    found = jax.value_and_grad(value)(20.0, (explicit, implicit), method)
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


@pytest.mark.slow
def test_lanes_directions_and_fixed_steps():
    """Each lane its own steps and way; a pytree; fixed steps come where they are asked for."""

    def field(t, y, rate):
        return {"x": -rate * (y["x"] - jnp.cos(t))}

    spans, rates = jnp.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]), jnp.array([1e4, -3.0])
    run = partial(solve, field, {"x": jnp.ones((2, 2))}, spans, rates, args_axes=0,
                  batch="independent", rtol=1e-6, atol=1e-6)  # fmt: skip
    found, wanted = run(method="kvaerno4"), run(method="rodas5p")
    # Between steps Diffrax has a cubic through both ends, which stiff components pull off.
    np.testing.assert_allclose(found.ys["x"], wanted.ys["x"], atol=5e-3)
    np.testing.assert_allclose(found.ys["x"][:, -1], wanted.ys["x"][:, -1], atol=2e-5)
    assert len(set(found.stats.accepted.tolist())) == 2
    fixed = run(method="kvaerno4", steps=50)
    assert fixed.stats.accepted.tolist() == [50, 50]
    np.testing.assert_allclose(fixed.ys["x"], wanted.ys["x"], atol=1e-3)


FAILURES = {
    "NaN later": (lambda t, y: y * jnp.sqrt(0.5 - t), {}, Status.NON_FINITE),
    "NaN at once": (lambda t, y: jnp.log(-1 - t) * y, {}, Status.NON_FINITE),
    "blow-up": (lambda t, y: y**2, {}, Status.STEP_UNDERFLOW),
    "step limit": (lambda t, y: -y * jnp.sin(50 * t), {"max_steps": 5}, Status.MAX_STEPS),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FAILURES)
def test_failures_have_their_status_and_partial_results(case):
    field, options, status = FAILURES[case]
    ts = [0.0, 0.01, 4.0]
    solution = solve(field, jnp.ones(2), ts, method="kvaerno5", on_failure="return", **options)
    assert int(solution.status) == status and float(solution.ending.t) < 4
    assert (solution.ys[0] == 1).all() and np.isnan(solution.ys[-1]).all()
    assert "nan," not in solution.explain()
    masked = solve(field, jnp.ones(2), ts, method="kvaerno5", on_failure="mask", **options)
    assert np.isfinite(masked.ys).all()


@pytest.mark.slow
def test_gradient_of_a_failed_lane_is_zero():
    def total(rate, shared):
        solution = solve(
            lambda t, y, rate: rate * y**2 - shared * y,
            jnp.ones((2, 1)),
            [0.0, 3.0],
            rate,
            args_axes=0,
            batch="independent",
            method="kvaerno3",
            on_failure="mask",
        )
        return jnp.sum(solution.ys), solution.status

    (own, shared), status = jax.grad(total, (0, 1), has_aux=True)(jnp.array([5.0, 0.1]), 1.0)
    assert status[0] != Status.SUCCESS and status[1] == Status.SUCCESS
    assert own[0] == 0 and own[1] > 0 and float(shared) < 0


BAD = {
    "takes f as a pair": (explicit, {"method": "kencarp4"}),
    "takes f as a pair.*kvaerno5": ((explicit,), {"method": "kencarp4"}),
    "f must be a function.*kencarp3": ((explicit, implicit), {"method": "kvaerno5"}),
    "backsolve": (explicit, {"method": "kvaerno5", "adjoint": "backsolve"}),
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_refused(words):
    field, options = BAD[words]
    with pytest.raises(InputError, match=words):
        solve(field, jnp.ones(1), [0.0, 1.0], 1.0, **options)


def test_without_diffrax_the_command_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffrax", None)
    with pytest.raises(InputError, match=r"pip install 'isocline\[diffrax\]'"):
        solve(lambda t, y: -2.5 * y, jnp.ones(1), [0.0, 1.0], method="kvaerno5")
