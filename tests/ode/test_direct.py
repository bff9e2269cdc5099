"""The explicit choices: to any order, forward only; and words for the wrong one."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import solve

pytestmark = pytest.mark.usefixtures("x64")
TURN = np.array([[-0.1, 2.0], [-2.0, -0.1]])
STEPS = [{"steps": 9}, {"max_steps": 60}, {"steps": 3, "method": "bosh3"}]


def field(t, y, rate):
    return jnp.tanh(TURN @ y) * rate + 0.1 * jnp.sin(t) * y


def loss(rate, adjoint="direct", **options):
    ts = np.linspace(0, 3, 4)
    return jnp.sum(jnp.sin(solve(field, np.ones(2), ts, rate, adjoint=adjoint, **options).ys))


@pytest.mark.slow
@pytest.mark.parametrize("options", STEPS)
def test_direct_is_replay_and_goes_on(options):
    """The same value and gradient; then two more orders, reverse and mixed."""
    value = partial(loss, **options)
    replayed = jax.value_and_grad(partial(loss, adjoint="replay", **options))(1.3)
    np.testing.assert_allclose(jax.value_and_grad(value)(1.3), replayed, rtol=1e-12)
    second = jax.grad(jax.grad(value))
    np.testing.assert_allclose(second(1.3), jax.jacfwd(jax.grad(value))(1.3), rtol=1e-10)
    if "steps" in options:
        step = 1e-4
        slope = (second(1.3 + step) - second(1.3 - step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(second)(1.3), slope, rtol=1e-5)


def test_direct_works_for_independent_trajectories():
    starts = jnp.array([[1.0, 0.5], [2.0, -1.0]])

    def total(rate, adjoint):
        ts = np.array([[0.0, 1.0], [0.0, 3.0]])
        options = {"batch": "independent", "adjoint": adjoint, "max_steps": 50}
        return jnp.sum(solve(field, starts, ts, rate, **options).ys ** 2)

    ours, replayed = (jax.grad(total)(1.3, adjoint) for adjoint in ("direct", "replay"))
    np.testing.assert_allclose(ours, replayed, rtol=1e-10)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_reverse_mode_of_forward_is_refused_with_words(wrap):
    with pytest.raises(InputError, match=r"has no reverse mode, which jax\.grad"):
        wrap(jax.grad(partial(loss, adjoint="forward")))(1.3)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, lambda f: lambda a: jax.vmap(f)(a[None])])
@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_what_has_no_forward_mode_is_refused_with_words(adjoint, wrap):
    """Also where the solve is within a function that was traced before."""
    f = wrap(partial(loss, adjoint=adjoint, steps=2))
    with pytest.raises(InputError, match=r"has no forward mode.*use adjoint='forward'"):
        jax.jvp(f, (jnp.asarray(1.3),), (jnp.asarray(1.0),))


@pytest.mark.parametrize("inner", [lambda f: f, jax.jit])
@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradient_of_gradient_is_refused_with_words(adjoint, inner):
    f = inner(partial(loss, adjoint=adjoint, steps=2))
    with pytest.raises(InputError, match="has no reverse mode of its own"):
        jax.jit(jax.grad(jax.grad(f)))(1.3)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve"])
def test_a_hessian_is_forward_mode_of_reverse_mode(adjoint):
    """What the refusal of a gradient of a gradient says to do, done."""
    f = partial(loss, steps=40)
    truth = jax.hessian(partial(f, adjoint="direct"))(1.3)
    found = jax.hessian(jax.jit(partial(f, adjoint=adjoint)))(1.3)
    np.testing.assert_allclose(found, truth, rtol=1e-4)


def test_direct_wants_few_steps():
    with pytest.raises(InputError, match=r"makes max_steps=4096 attempts.*pass steps= or"):
        loss(1.3)


def test_auto_says_what_it_chose_and_why():
    ts, y0 = np.linspace(0, 3, 4), np.ones(2)
    usual = solve(field, y0, ts, 1.0)
    assert usual.adjoint == "replay" and "exact" in usual.why and usual.why in usual.explain()
    long = solve(field, y0, ts, 1.0, steps=4000, record_bytes=1000)
    assert long.adjoint == "replay" and "4000 fixed steps" in long.why
    assert "times again: raise it, or use adjoint='reversible'" in long.why
    asked = solve(field, y0, ts, 1.0, steps=4000, record_bytes=1000, adjoint="replay")
    assert asked.adjoint == "replay" and asked.why == "it was asked for"
    rich = solve(field, y0, ts, 1.0, steps=4000)
    assert rich.adjoint == "replay"
