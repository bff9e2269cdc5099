"""Observed order of convergence, at the end of the span and between the steps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import METHODS, Tableau, solve

RUNGE_KUTTA = [name for name, method in METHODS.items() if type(method) is Tableau]
COARSE = {1: 160, 2: 60, 3: 50, 4: 40, 5: 24, 7: 12, 8: 10}
OFF_GRID = np.sort((np.sqrt(2) * np.arange(1, 60)) % 1) * 3


def field(t, y):
    return jnp.stack([y[0] * jnp.cos(t), y[1] ** 2 * jnp.cos(t)])


def truth(t):
    return np.stack([np.exp(np.sin(t)), 1 / (2 - np.sin(t))], axis=-1)


def errors(name, steps):
    ts = np.append(OFF_GRID, 3.0)
    solution = solve(field, jnp.asarray(truth(0.0)), ts, t0=0.0, method=name, steps=steps)
    assert int(solution.stats.accepted) == steps
    miss = np.abs(np.asarray(solution.ys) - truth(ts))
    return miss[-1].max(), miss[:-1].max()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_observed_order_at_steps_and_between(name):
    """Off the grid too it is the full order.

    The local error of the output is h^(p+1), and h^4 for Hermite (p <= 4).
    """
    order = METHODS[name].order
    (end, between), (end_half, between_half) = (
        errors(name, COARSE[order]),
        errors(name, 2 * COARSE[order]),
    )
    assert end_half > 1e-15 and between < 0.1
    assert np.log2(end / end_half) >= order - 0.3
    assert np.log2(between / between_half) >= order - 0.3
