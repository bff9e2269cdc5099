"""A solve to its end takes no stage that nobody reads, and nothing else is different for it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import solve
from isocline.ode.tools.counting import Counter

STEPS = 3


def field(t, y, args):
    return -args * y * jnp.cos(t) + 0.1 * y[::-1] ** 2


def end(f, y0, args, ts, **options):
    solution = solve(f, y0, ts, args, method="rk4", steps=STEPS, **options)
    return jnp.sum(solution.ys[..., -1, :] ** 2), solution.stats


@pytest.mark.parametrize("batch", ["coupled", "independent"])
def test_fixed_steps_take_as_many_evaluations_as_stages(batch):
    counter = Counter()
    y0 = jnp.ones((2, 2)) if batch == "independent" else jnp.ones(2)
    counted = counter.counted(field)
    solved = solve(counted, y0, [0.0, 2.0], 0.5, method="rk4", steps=STEPS, batch=batch)
    jax.block_until_ready(solved.ys)
    jax.effects_barrier()
    assert counter.evaluations == 4 * STEPS * (len(y0) if batch == "independent" else 1)
    assert np.all(solved.stats.nfe == 4 * STEPS)


def test_their_pullback_takes_as_many():
    counter = Counter()
    counted = counter.counted(field)
    given = jnp.ones(2), jnp.array(0.5), jnp.array([0.0, 2.0])
    gradient, stats = jax.grad(lambda y0: end(counted, y0, *given[1:]), has_aux=True)(given[0])
    jax.block_until_ready(gradient)
    jax.effects_barrier()
    assert counter.pullbacks == int(stats.nfe_backward) == 4 * STEPS


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adjoint", ["replay", "direct"])
@pytest.mark.parametrize("batch", ["coupled", "independent"])
def test_gradients_are_those_with_a_save_time_more(adjoint, batch):
    """With a save time between the ends all stages are there; steps are the same."""
    y0 = jnp.array([1.0, -0.5])
    y0 = jnp.stack([y0, 2 * y0]) if batch == "independent" else y0

    def gradient(middle):
        def value(y0, args, last):
            ts = jnp.array([0.0, *middle, 1.0]) * last
            return end(field, y0, args, ts, adjoint=adjoint, batch=batch)[0]

        return jax.value_and_grad(value, argnums=(0, 1, 2))(y0, jnp.array(0.7), jnp.array(2.0))

    for found, wanted in zip(*map(jax.tree.leaves, (gradient([]), gradient([0.4]))), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
