"""Divergences: closed forms against the whole Jacobian, and estimates without bias."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.nn import FIELDS, ExactTrace, Hutchinson, HutchPlusPlus

SIZE, CONTEXT, POINTS = 4, 2, 3


def perturbed(model, scale=0.4):
    """A model whose every number has been moved: nothing is zero by construction."""
    leaves, treedef = jax.tree.flatten(model)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + scale * jax.random.normal(key, leaf.shape) if eqx.is_inexact_array(leaf) else leaf
        for leaf, key in zip(leaves, keys)
    ]
    return jax.tree.unflatten(treedef, moved)


@pytest.fixture(scope="module", params=FIELDS)
def field(request):
    return perturbed(FIELDS[request.param](SIZE, 6, CONTEXT, key=jax.random.key(0)))


@pytest.fixture(scope="module")
def points():
    z, context = jax.random.normal(jax.random.key(2), (2, POINTS, SIZE))
    return z, context[:, :CONTEXT]


T = jnp.float32(0.3)


def jacobians(field, points):
    return jax.vmap(jax.jacfwd(lambda z, context: field(T, z, context)))(*points)


def test_the_closed_form_is_the_trace_of_the_jacobian(field, points):
    slope, divergence = jax.vmap(lambda z, context: field.with_divergence(T, z, context))(*points)
    expected = jnp.trace(jacobians(field, points), axis1=1, axis2=2)
    np.testing.assert_allclose(divergence, expected, atol=1e-5)
    np.testing.assert_allclose(slope, jax.vmap(lambda z, c: field(T, z, c))(*points), atol=1e-6)
    assert np.abs(expected).min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("context", [0, CONTEXT])
def test_a_potentials_slope_and_divergence_are_its_derivatives(context):
    """And its residual, in double precision; the columns of the context are no part of them."""
    with jax.enable_x64(True):
        made = FIELDS["potential"](SIZE, 6, context, key=jax.random.key(0))
        field = jax.tree.map(lambda leaf: leaf.astype(float), perturbed(made))
        t, z = jnp.asarray(0.3), jax.random.normal(jax.random.key(2), (SIZE,), float)
        beside = jax.random.normal(jax.random.key(3), (context,), float)
        by_time, by_point = jax.grad(field.potential, argnums=(0, 1))(t, z, beside)
        slope, divergence = field.with_divergence(t, z, beside)
        np.testing.assert_allclose(slope, -by_point, atol=1e-9)
        np.testing.assert_allclose(field(t, z, beside), -by_point, atol=1e-9)
        hessian = jax.hessian(field.potential, argnums=1)(t, z, beside)
        np.testing.assert_allclose(divergence, -jnp.trace(hessian), atol=1e-9)
        jacobian = jax.jacfwd(field, argnums=1)(t, z, beside)
        np.testing.assert_allclose(divergence, jnp.trace(jacobian), atol=1e-9)
        off = jnp.abs(by_time - jnp.sum(by_point**2) / 2)
        np.testing.assert_allclose(field.residual(t, z, beside), off, atol=1e-9)
        assert min(off, abs(divergence), abs(by_time)) > 1e-3


@pytest.mark.parametrize("far", [0.0, 30.0, -1e4])
def test_a_potential_is_finite_far_out(far):
    """Where exp(x) of its activation would overflow; at zero it has its second derivative."""
    field = perturbed(FIELDS["potential"](2, 6, key=jax.random.key(0)))
    field = eqx.tree_at(lambda one: one.shift1, field, jnp.zeros_like(field.shift1))
    z, none = jnp.full(2, far), jnp.zeros(0)
    assert np.isfinite(field.potential(jnp.zeros(()), z, none))
    found = field.with_divergence(jnp.zeros(()), z, none)[1]
    hessian = jax.hessian(field.potential, argnums=1)(jnp.zeros(()), z, none)
    assert found == pytest.approx(float(-jnp.trace(hessian)), rel=1e-4)


def estimate(trace, field, points, key):
    noise = trace.noise(POINTS, SIZE, jnp.float32, key)
    one = jax.vmap(lambda z, context, own: trace(field, T, z, context, own)[1])
    return one(*points, noise)


@pytest.mark.parametrize("trace", [Hutchinson(2), HutchPlusPlus(1)], ids=["one", "plus plus"])
def test_estimates_have_no_bias(trace, field, points):
    draws = jax.jit(jax.vmap(lambda key: estimate(trace, field, points, key)))(
        jax.random.split(jax.random.key(3), 4000)
    )
    exact = jnp.trace(jacobians(field, points), axis1=1, axis2=2)
    errors = np.abs(draws.mean(axis=0) - exact) / (draws.std(axis=0) / np.sqrt(len(draws)) + 1e-6)
    assert errors.max() < 4.5


def test_hutch_plus_plus_is_exact_where_the_sketch_holds_the_rank(field, points):
    found = estimate(HutchPlusPlus(SIZE), field, points, jax.random.key(4))
    exact = jnp.trace(jacobians(field, points), axis1=1, axis2=2)
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_hutch_plus_plus_varies_less_for_the_same_products(points):
    """Three products each; of a field whose Jacobian has one large eigenvalue."""
    large = jnp.array([1.0, 2.0, 4.0, 8.0])  # no choice of signs adds up to zero
    low = jnp.outer(large, large) + 0.1 * jnp.eye(SIZE)

    class Linear(eqx.Module):
        def __call__(self, t, z, context):
            return low @ z

    keys = jax.random.split(jax.random.key(5), 500)
    spreads = [
        jax.vmap(lambda key: estimate(trace, Linear(), points, key))(keys).std()  # noqa: B023
        for trace in (Hutchinson(3), HutchPlusPlus(1))
    ]
    assert spreads[1] < 0.2 * spreads[0]


def test_the_gradient_of_the_estimate_is_the_gradient_of_the_trace_on_average(points):
    """Although the basis of Hutch++ is held constant."""
    field = perturbed(FIELDS["gated"](SIZE, 6, CONTEXT, key=jax.random.key(0)))

    def total(last, trace, key):
        moved = eqx.tree_at(lambda one: one.last, field, last)
        return jnp.sum(estimate(trace, moved, points, key))

    exact = jax.grad(total)(field.last, ExactTrace(), None)
    keys = jax.random.split(jax.random.key(6), 4000)
    draws = jax.jit(jax.vmap(lambda key: jax.grad(total)(field.last, HutchPlusPlus(1), key)))(keys)
    errors = np.abs(draws.mean(axis=0) - exact) / (draws.std(axis=0) / np.sqrt(len(keys)) + 1e-6)
    assert errors.max() < 4.5


@pytest.mark.parametrize("trace", [Hutchinson(), HutchPlusPlus()])
def test_noise_needs_a_key(trace):
    with pytest.raises(InputError, match="new key="):
        trace.noise(1, 2, jnp.float32, None)


@pytest.mark.parametrize("kind", ["gated", "hyper"])
def test_what_time_alone_decides_is_computed_once_for_all_points(kind):
    """The operations of one point more are the field's, not those of its hyper-network."""
    model = FIELDS[kind](2, 8, key=jax.random.key(0))

    def operations(points):
        def slopes(t, z, context):
            return jax.vmap(lambda z, context: model.with_divergence(t, z, context))(z, context)

        shapes = [
            jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((), (points, 2), (points, 0))
        ]
        return jax.jit(slopes).lower(*shapes).compile().cost_analysis()["flops"]

    network = 2 * sum(leaf.size for leaf in jax.tree.leaves(model.network) if eqx.is_array(leaf))
    assert (operations(512) - operations(256)) / 256 < network / 4
