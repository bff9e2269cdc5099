"""Complex states: values, dtypes and gradients, against what is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.ode import solve

HAMILTONIAN = np.array([[0.5, 0.2 - 0.1j], [0.2 + 0.1j, -0.3]])


def schroedinger(t, y, strength):
    return -1j * strength * (HAMILTONIAN.astype(y.dtype) @ y)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["tsit5", "dopri8", "rodas5p"])
def test_a_unitary_evolution(method):
    """Against the exponential of the matrix, between the steps as well; the norm stays."""
    y0, ts = np.array([1.0, 1j]) / np.sqrt(2), np.linspace(0, 5, 6)
    options = {"method": method, "rtol": 1e-10, "atol": 1e-10}
    ys = solve(schroedinger, y0, ts, 1.0, **options).ys
    assert ys.dtype == np.complex128
    exact = [jax.scipy.linalg.expm(-1j * HAMILTONIAN * t) @ y0 for t in ts]
    np.testing.assert_allclose(ys, exact, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(ys, axis=1), 1, atol=1e-8)


def test_single_precision_mixed_leaves_and_lanes():
    def field(t, y):
        wave, decay = y
        return 1j * wave, -decay

    y0 = jnp.array([1.0 + 0j, 2j, -1.0], jnp.complex64), jnp.ones((3, 2))
    solution = solve(field, y0, [0.0, 1.0], batch="independent", rtol=1e-6)
    wave, decay = solution.ys
    assert wave.dtype == np.complex64 and wave.shape == (3, 2) and decay.shape == (3, 2, 2)
    np.testing.assert_allclose(wave[:, -1], y0[0] * np.exp(1j), atol=1e-5)
    np.testing.assert_allclose(decay[:, -1], np.exp(-1), atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve"])
def test_gradients_are_those_of_the_real_formulation(adjoint):
    """In JAX's convention, in state and parameter."""
    options = {"rtol": 1e-10, "atol": 1e-10, "adjoint": adjoint}

    def loss(y0, strength):
        end = solve(schroedinger, y0, [0.0, 2.0], strength, **options).ys[-1]
        return jnp.abs(end[0]) ** 2 + jnp.real(end[1])

    def by_hand(pair, strength):
        def field(t, y, strength):
            slope = schroedinger(t, y[0] + 1j * y[1], strength)
            return jnp.stack([slope.real, slope.imag])

        end = solve(field, pair, [0.0, 2.0], strength, **options).ys[-1]
        return end[0, 0] ** 2 + end[1, 0] ** 2 + end[0, 1]

    y0 = np.array([0.6, 0.8j])
    ours, rate = jax.grad(loss, (0, 1))(jnp.asarray(y0), 1.3)
    pair, wanted = jax.grad(by_hand, (0, 1))(jnp.stack([y0.real, y0.imag]), 1.3)
    np.testing.assert_allclose(rate, wanted, rtol=1e-7)
    np.testing.assert_allclose(ours, pair[0] - 1j * pair[1], rtol=1e-7)
