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


@pytest.mark.slow
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


@pytest.mark.parametrize("kept, steps", [(8, 5), (8, 9), (8, 40), (4, 150), (4, 129), (2, 100)])
def test_what_is_computed_again_is_counted(kept, steps):
    """By a walk that does nothing else than count."""
    noted, stride = 3, 1
    late = max(steps - noted, 0)
    while kept * stride < late:
        stride *= 2
    size, again, end = min(stride, record.BLOCK), 0, late
    while end > 0:
        first = (end - 1) // size * size
        again += end - first // stride * stride
        end = first
    size = record.Size(1000, noted, kept)
    assert int(record.computed_again(size, jnp.array(steps))) == again


def test_a_record_holds_all_notes_or_leaves_room_for_starts():
    y = 64  # bytes
    assert record.size_for(100, 6, y, 2**20) == record.Size(100, 100, 0)
    # A row is 64 bytes: three quarters of the budget are for notes of six rows each.
    assert record.size_for(100, 6, y, 128 * 60) == record.Size(100, 15, 14)
    assert record.size_for(100, 6, y, 1) == record.Size(100, record.FEWEST, record.FEWEST)
