"""The record thins itself out, and the gradient is the same whatever it may keep."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import record, solve

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.core]
MATRIX = np.array([[-0.1, 2.0], [-2.0, -0.1]])
SPANS = np.array([[0.0, 3.0], [0.0, 20.0], [0.0, 7.0]])


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """So that short solves need more room than there is."""
    monkeypatch.setattr(record, "FEWEST", 4)


def field(t, y, rate):
    return jnp.tanh(MATRIX @ y) * rate + 0.1 * jnp.sin(t) * y


def loss(rate, y0, adjoint, budget, times):
    """Four saves or one by one clock, or three trajectories with a clock each."""
    options = {"rtol": 1e-7, "atol": 1e-7, "max_steps": 1000, "t0": 0.0}
    ts, batch = (
        (SPANS, "independent")
        if times == "lanes"
        else (np.linspace(0, 12, times + 1)[1:], "coupled")
    )
    y0 = jnp.stack([y0, 2 * y0, 0.1 * y0]) if times == "lanes" else y0
    solution = solve(
        field, y0, ts, rate, adjoint=adjoint, record_bytes=budget, batch=batch, **options
    )
    return jnp.sum(solution.ys**2), solution.stats.accepted


@pytest.mark.parametrize("times", [1, 4, "lanes"])
def test_the_gradient_does_not_depend_on_the_budget(times):
    at = 1.3, jnp.array([1.0, 0.5])
    exact, accepted = jax.jacfwd(loss, (0, 1), has_aux=True)(*at, "forward", 2**22, times)
    assert int(jnp.max(accepted)) > 4 * record.BLOCK
    # Everything; every second or fourth state; one in so many that a block lies between.
    for budget in (2**22, 2**11, 1):
        gradient, _ = jax.grad(loss, (0, 1), has_aux=True)(*at, "replay", budget, times)
        for found, wanted in zip(gradient, exact):
            np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("rows, steps", [(8, 5), (8, 9), (8, 40), (4, 150), (4, 129), (2, 100)])
def test_what_is_computed_again_is_counted(rows, steps):
    """By a walk that does nothing else than count."""
    stride = 1
    while rows * stride < steps:
        stride *= 2
    size, again, end = min(stride, record.BLOCK), 0, steps
    while stride > 1 and end > 0:
        first = (end - 1) // size * size
        again += end - 1 - first // stride * stride
        end = first
    assert int(record.computed_again(rows, jnp.array([steps]))[0]) == again


def test_a_record_holds_all_or_an_even_number():
    y = jnp.zeros((1, 8))
    assert record.rows_for(100, y, 2**20) == 100
    assert record.rows_for(100, y, 128 * 51) == 50
    assert record.rows_for(100, y, 1) == record.FEWEST
