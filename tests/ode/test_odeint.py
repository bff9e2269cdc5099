"""`odeint`: torchdiffeq's call, on our engine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import METHODS, SolveError, Tableau, odeint

RUNGE_KUTTA = [name for name, method in METHODS.items() if type(method) is Tableau]
T = np.linspace(0.5, 2.0, 4)


def decay(t, y):
    return -t * y


TRUTH = np.exp((T[0] ** 2 - T**2) / 2)


def test_defaults_work_in_float32_and_say_what_they_did():
    """1e-7 is below float32: it is raised, with a warning; the answer is right to its digits."""
    with pytest.warns(UserWarning, match="below what float32 resolves"):
        ys = odeint(decay, jnp.ones(2, jnp.float32), T)
    assert ys.shape == (4, 2) and ys.dtype == jnp.float32
    np.testing.assert_allclose(ys[:, 0], TRUTH, rtol=3e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.filterwarnings("error")
def test_defaults_are_tight_in_float64_and_silent():
    """rtol 1e-7 and atol 1e-9, the defaults of torchdiffeq, forward and backward in time."""
    there = odeint(decay, jnp.ones(1), T)
    np.testing.assert_allclose(there[:, 0], TRUTH, rtol=3e-7)
    back = odeint(decay, there[-1], T[::-1])
    np.testing.assert_allclose(back[-1], 1, rtol=1e-6)
    np.testing.assert_array_equal(odeint(decay, jnp.ones(1), T, rtol=1e-7, atol=1e-9), there)
    assert np.abs(odeint(decay, jnp.ones(1), T, rtol=1e-3, atol=1e-3) - there).max() > 1e-7


@pytest.mark.parametrize("method", RUNGE_KUTTA)
def test_every_method_answers_by_name(method):
    """Methods without an estimate step from time to time; a pytree comes back as one."""
    ts = np.linspace(0.5, 2.0, 301 if method == "euler" else 31)
    field = lambda t, y: (decay(t, y[0]),)
    ys = odeint(field, (jnp.ones(1),), ts, rtol=1e-4, atol=1e-6, method=method)
    np.testing.assert_allclose(
        ys[0][-1, 0], TRUTH[-1], rtol=1e-2 if METHODS[method].order < 3 else 1e-3
    )


def test_fixed_step_size_walks_its_own_grid():
    """Euler with step_size 0.5 by hand, the last step being what is left."""
    ys = odeint(
        lambda t, y: y,
        jnp.ones(1),
        [0.0, 1.2],
        method="euler",
        options={"step_size": 0.5},
        rtol=1e-3,
    )
    assert float(ys[-1, 0]) == pytest.approx(1.5 * 1.5 * 1.2)


def test_gradient_and_failures():
    """Gradients pass; a failure raises, and what does not fit is named."""
    slope = jax.grad(lambda y: odeint(decay, y, T, rtol=1e-5)[-1].sum())(jnp.ones(1))
    np.testing.assert_allclose(slope, TRUTH[-1:], rtol=1e-4)
    with pytest.raises(SolveError, match="step limit"):
        odeint(decay, jnp.ones(1), T, rtol=1e-5, options={"max_num_steps": 2})
    with pytest.raises(InputError, match=r"options.*safety"):
        odeint(decay, jnp.ones(1), T, options={"safety": 0.5})
    with pytest.raises(InputError, match="step_size"):
        odeint(decay, jnp.ones(1), T, options={"step_size": -1})
    with pytest.raises(InputError, match="method='rk45'"):
        odeint(decay, jnp.ones(1), T, method="rk45")
