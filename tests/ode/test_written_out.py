"""Steps whose stages are written out give what the loop over stages gives."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import solve
from isocline.ode import stepping

WEIGHTS = np.random.default_rng(0).normal(0, 0.5, (3, 3))
Y0 = np.array([1.0, 0.5, -0.3])
SINGLE = WEIGHTS.astype(np.float32)


def network(t, y, weights):
    return jnp.tanh(weights @ y) * jnp.cos(t) - 0.3 * y


def elementwise(t, y, weights):
    return jnp.stack([y[1], -y[0] * weights[0, 0], jnp.sin(y[1]) - y[2]]) * jnp.cos(t)


@pytest.fixture
def chosen(monkeypatch):
    """Whether the last step that was traced is written out."""
    answers = []

    def noted(*args):
        answers.append(is_written_out(*args))
        return answers[-1]

    is_written_out = stepping.is_written_out
    monkeypatch.setattr(stepping, "is_written_out", noted)
    return answers


def both_ways(monkeypatch, function, *inputs):
    """What a function gives with stages written out, and with a loop over them."""
    found = []
    for answer in (stepping.is_written_out, lambda *_: False):
        monkeypatch.setattr(stepping, "is_written_out", answer)
        jax.clear_caches()
        found.append(function(*inputs))
    return found


@pytest.mark.parametrize(
    ("adjoint", "ts"),
    [
        ("replay", [0.0, 3.0]),
        ("replay", [0.0, 0.7, 0.9, 3.0]),
        ("direct", [0.0, 0.7, 0.9, 3.0]),
        ("forward", [0.0, 3.0]),
    ],
)
def test_solution_and_gradients_are_those_of_the_loop(monkeypatch, chosen, x64, adjoint, ts):
    def loss(y0, weights, ts):
        solution = solve(network, y0, ts, weights, adjoint=adjoint, rtol=1e-5, max_steps=64)
        return jnp.sum(jnp.sin(solution.ys)), solution.ys

    differentiate = jax.jacfwd if adjoint == "forward" else jax.grad
    both = differentiate(loss, argnums=(0, 1, 2), has_aux=True)
    out, looped = both_ways(monkeypatch, both, jnp.asarray(Y0), jnp.asarray(WEIGHTS), jnp.array(ts))
    assert chosen and all(chosen)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9), out, looped)


@pytest.mark.parametrize("name", ["euler", "bosh3", "rk4"])
def test_fixed_steps_as_well(monkeypatch, chosen, x64, name):
    def end(weights):
        return jnp.sum(solve(network, Y0, [0.0, 0.4, 1.0], weights, method=name, steps=8).ys ** 2)

    both = jax.value_and_grad(end)
    out, looped = both_ways(monkeypatch, both, jnp.asarray(WEIGHTS))
    assert chosen and all(chosen)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-12), out, looped)


def test_the_field_at_the_end_is_not_asked_for_where_it_is_not_finite():
    def field(t, y, weights):
        return weights @ y / jnp.sqrt(1 - t)  # infinite at the end, where nobody needs it

    def end(weights):
        return jnp.sum(
            solve(field, Y0.astype(np.float32), [0.0, 1.0], weights, method="midpoint", steps=4).ys[
                -1
            ]
        )

    value, slope = jax.value_and_grad(end)(jnp.asarray(SINGLE))
    assert np.isfinite(value) and np.isfinite(slope).all()


def linear(t, y, weights):
    return y @ weights[:, :3]


@pytest.mark.parametrize(
    ("field", "y0", "weights", "method"),
    [
        (elementwise, Y0, SINGLE, "tsit5"),  # XLA would compute its stages again and again
        (network, Y0, SINGLE, "dopri8"),  # has stages that only output between steps needs
        (linear, np.ones((30, 3)), SINGLE, "tsit5"),  # many numbers
        (linear, Y0, np.zeros((3, 2**17)), "tsit5"),  # of the parameters
    ],
)
def test_a_loop_where_that_is_better(chosen, field, y0, weights, method):
    y0 = y0.astype(np.float32)
    solve(field, y0, [0.0, 1.0], jnp.asarray(weights, jnp.float32), method=method)
    assert chosen and not any(chosen)
