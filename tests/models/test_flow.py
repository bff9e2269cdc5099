"""Flows of points: densities, inverses, noise and penalties."""

from __future__ import annotations

from functools import partial
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.models import Flow, PlanarFlow
from isocline.models.flow import base_log_prob
from isocline.models.flow_losses import (
    Learning,
    flow_matching,
    negative_log_likelihood,
    reverse_divergence,
)
from isocline.models.solving import Solving
from isocline.nn import (
    FIELDS,
    AbstractFlowField,
    Hutchinson,
    HutchPlusPlus,
    HyperField,
    PotentialField,
)

TIGHT = Solving("dopri8", 1e-9, 1e-9)
LOOSE = Solving("tsit5", 1e-3, 1e-3)


def moved(model, scale=0.3):
    """All numbers a little elsewhere, so that nothing is zero by construction."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    leaves, treedef = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [leaf + scale * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys)]
    return eqx.combine(jax.tree.unflatten(treedef, leaves), static)


def flow(kind="gated", size=2, context=0):
    return Flow(moved(FIELDS[kind](size, 8, context, key=jax.random.key(0))), size)


def points(count=5, size=2, context=0):
    return jax.random.normal(jax.random.key(2), (count, size)), jnp.ones((count, context))


@pytest.fixture(scope="module")
def x64_module():
    with jax.enable_x64(True):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("kind", FIELDS)
def test_a_density_is_one_by_integration_on_a_grid(kind, x64_module):
    """The log-density's error against numerical integration is at most 1e-4 in 2-D."""
    with jax.enable_x64(True):
        model, (half, count) = flow(kind), (12.0, 160)
        axis = np.linspace(-half, half, count)
        grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
        context = jnp.zeros((len(grid), 0))
        found, _ = model.log_prob(grid, context, solving=Solving("dopri8", 1e-7, 1e-7))
        mass = jnp.sum(jnp.exp(found)) * (axis[1] - axis[0]) ** 2
        assert abs(float(jnp.log(mass))) < 1e-4


@pytest.mark.slow
def test_the_log_density_is_that_of_the_jacobian_of_the_whole_way(x64_module):
    with jax.enable_x64(True):
        model, (z, context) = flow(context=1, size=3), points(size=3, context=1)
        z, context = z.astype(float), context.astype(float)

        def ends(one):
            return model.move(one[None], context[:1], to_data=True, solving=TIGHT).points[0]

        found, way = model.push(z, context, solving=TIGHT)
        determinants = jnp.linalg.slogdet(jax.vmap(jax.jacrev(ends))(z))[1]
        np.testing.assert_allclose(found, base_log_prob(z) - determinants, atol=1e-6)
        back, returned = model.log_prob(way.points, context, solving=TIGHT)
        np.testing.assert_allclose(returned.points, z, atol=1e-5)  # the inverse error
        np.testing.assert_allclose(back, found, atol=1e-6)


@pytest.mark.slow
def test_independent_points_do_not_depend_on_those_beside_them():
    """Not by a bit. Fewer points are another program, which rounds differently and may step so."""
    model, (z, context) = flow(), points(6)
    far = z * jnp.where(jnp.arange(6) < 2, 1, 30)[:, None]
    options = {"to_data": True, "solving": Solving("tsit5", 1e-5, 1e-5), "independent": True}
    near, among = (model.move(start, context, **options) for start in (z, far))
    np.testing.assert_array_equal(among.points[:2], near.points[:2])
    np.testing.assert_array_equal(among.nfe[:2], near.nfe[:2])
    assert np.ptp(among.nfe) > 50  # each has steps of its own
    alone = model.move(z[:2], context[:2], **options)
    np.testing.assert_allclose(near.points[:2], alone.points, atol=2e-4)


ESTIMATES = pytest.mark.parametrize("trace", [Hutchinson(), HutchPlusPlus()], ids=["one", "++"])


@ESTIMATES
def test_noise_is_the_same_in_all_steps_of_a_solve(trace):
    """Of a linear field the estimate of a whole way is one of those that a single slope has."""

    class Linear(AbstractFlowField):
        matrix: jax.Array

        def __call__(self, t, z, context):
            return self.matrix @ z

    field = Linear(jnp.array([[0.3, 0.8], [0.1, -0.5]]))
    z, context = points(32)
    options = {"to_data": True, "solving": Solving("rk4", steps=6), "trace": trace}
    found = np.asarray(Flow(field, 2).move(z, context, **options, key=jax.random.key(0)).change)
    every = jnp.array(list(product((-1.0, 1.0), repeat=4))).reshape(-1, 2, 2)
    some = every if isinstance(trace, HutchPlusPlus) else every[:, :1]
    slope = partial(trace, field, jnp.zeros(()), z[0], context[0])
    values = np.asarray([slope(noise)[1] for noise in some])
    apart = np.abs(found[:, None] - values)
    assert apart.min(axis=1).max() < 1e-5
    assert len(np.unique(apart.argmin(axis=1))) > 1  # points have noise of their own


@pytest.mark.slow
@ESTIMATES
def test_estimated_densities_are_right_on_average_and_follow_their_key(trace):
    model, (z, context) = flow(size=3), points(size=3)
    exact, _ = model.log_prob(z, context, solving=LOOSE)

    @jax.jit
    def estimate(key):
        return model.log_prob(z, context, solving=LOOSE, trace=trace, key=key)[0]

    first, again, other = (estimate(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    draws = jax.lax.map(estimate, jax.random.split(jax.random.key(3), 400))
    errors = np.abs(draws.mean(axis=0) - exact) / (draws.std(axis=0) / 20)
    assert errors.max() < 4.5


@pytest.mark.slow
def test_penalties_are_a_points_and_leave_the_likelihood_alone():
    model = Flow(moved(PotentialField(2, 6, key=jax.random.key(0))), 2)
    x, context = points(5)
    key = jax.random.key(0)
    plain, _ = negative_log_likelihood(model, x, context, Learning(LOOSE), key)
    for name in ("energy", "jacobian", "hamilton_jacobi"):
        penalties = []
        for times in (1, 3):  # as many copies of each point: the mean is the same
            rows = jnp.repeat(x, times, axis=0), jnp.repeat(context, times, axis=0)
            learning = Learning(LOOSE, **{name: 1.0})
            penalties.append(negative_log_likelihood(model, *rows, learning, key)[0] - plain)
        assert penalties[0] > 1e-4
        if name != "jacobian":  # estimated: noise is drawn for each point
            np.testing.assert_allclose(*penalties, rtol=1e-3)


@pytest.mark.slow
def test_the_energy_is_that_of_a_constant_field():
    """|f|^2 of a field that is the same everywhere."""

    class Constant(HyperField):
        def with_divergence(self, t, z, context):
            return self(t, z, context), jnp.zeros(())

        def __call__(self, t, z, context):
            return jnp.array([3.0, 4.0])

    model = Flow(Constant(2, 1, key=jax.random.key(0)), 2)
    x, context = points(7)
    found = [
        negative_log_likelihood(model, x, context, Learning(LOOSE, energy=e), jax.random.key(0))[0]
        for e in (0.0, 0.1)
    ]
    assert found[1] - found[0] == pytest.approx(2.5, rel=1e-4)


def test_flow_matching_is_least_for_the_mean_velocity():
    """Of pairs that all have one velocity, that velocity has no loss."""

    class Constant(HyperField):
        def __call__(self, t, z, context):
            return jnp.array([3.0, 4.0])

    model = Flow(Constant(2, 1, key=jax.random.key(0)), 2)
    z, context = points(7)
    loss = flow_matching(model, z + jnp.array([3.0, 4.0]), z, context, jax.random.key(0))
    assert loss == pytest.approx(0, abs=1e-10)


@pytest.mark.slow
def test_flow_matching_with_others_is_least_for_the_mean_over_all_of_them():
    """The field that weighs all points by the likelihood of their noise has no loss."""
    z, context = points(7)
    x, others = jax.random.normal(jax.random.key(9), (2, *z.shape)) * 2
    ends = jnp.concatenate([x, others])

    class Exact(HyperField):
        def __call__(self, t, y, context):
            noise = (y - t * ends) / (1 - t)
            weights = jax.nn.softmax(-jnp.sum(noise**2, axis=1) / 2)
            return weights @ (ends - noise)

    exact, key = Flow(Exact(2, 1, key=jax.random.key(0)), 2), jax.random.key(0)
    assert flow_matching(exact, x, z, context, key, others=others) == pytest.approx(0, abs=1e-4)
    assert flow_matching(exact, x, z, context, key, others=others[:3]) > 1e-3
    assert flow_matching(exact, x, z, context, key) > 0.01


@pytest.mark.parametrize("from_data", [False, True])
def test_a_planar_flow_is_inverted_and_knows_its_determinant(from_data, x64_module):
    with jax.enable_x64(True):
        model = moved(PlanarFlow(3, 5, 1, from_data=from_data, key=jax.random.key(0)), 1.0)
        z, context = points(4, 3, 1)
        z, context = z.astype(float), context.astype(float)
        x, change = model.forward(z, context)
        back, again = model.backward(x, context)
        np.testing.assert_allclose(back, z, atol=1e-9)
        np.testing.assert_allclose(again, change, atol=1e-9)
        jacobian = jax.vmap(jax.jacfwd(lambda one: model.forward(one[None], context[:1])[0][0]))
        np.testing.assert_allclose(jnp.linalg.slogdet(jacobian(z))[1], change, atol=1e-9)
        found, ends = model.push(z, context)
        np.testing.assert_allclose(model.log_prob(ends, context), found, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["planar", "continuous"])
def test_the_reverse_divergence_of_a_flow_from_itself_is_zero(kind):
    planar = moved(PlanarFlow(2, 3, from_data=False, key=jax.random.key(0)))
    model = planar if kind == "planar" else flow()
    z, context = points(50)

    def target(x):
        if kind == "planar":
            return model.log_prob(x, context)
        return model.log_prob(x, context, solving=Solving("tsit5", 1e-6, 1e-6))[0]

    loss, _ = reverse_divergence(
        model, z, target, Learning(Solving("tsit5", 1e-6, 1e-6)), jax.random.key(0)
    )
    assert loss == pytest.approx(0, abs=1e-4)
