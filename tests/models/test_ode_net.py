"""ODE-Nets and what they are compared with."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.models.ode_net import (
    Architecture,
    Solving,
    build_network,
    count_parameters,
    with_solving,
)

SHAPE = (28, 28, 1)
# The paper's ODE-Net has 0.22 M parameters, its ResNet 0.60 M, LeCun's MLP 0.24 M.
SIZES = {
    "ode": (Architecture("ode", SHAPE, 10), 95_146),
    "resnet-6": (Architecture("resnet", SHAPE, 10), 464_554),
    "no block": (Architecture("resnet", SHAPE, 10, blocks=0), 19_882),
    "no block, chen": (Architecture("resnet", SHAPE, 10, blocks=0, stem="chen"), 132_874),
    "mlp": (Architecture("mlp", SHAPE, 10), 238_510),
}


DEFAULT = Solving()


def network(architecture, solving=DEFAULT, seed=0):
    return build_network(architecture, solving, key=jax.random.key(seed))


def moved(net, size=0.1):
    """With a field that does something: it begins at zero."""
    arrays, static = eqx.partition(net, eqx.is_inexact_array)
    leaves, treedef = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    leaves = [leaf + size * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys)]
    return eqx.combine(jax.tree.unflatten(treedef, leaves), static)


def images(count=3, shape=SHAPE):
    return jax.random.uniform(jax.random.key(1), (count, *shape))


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    architecture, parameters = SIZES[name]
    net = network(architecture)
    assert count_parameters(net) == parameters
    assert net(images()).logits.shape == (3, 10)


@pytest.mark.parametrize("shape", [(6, 9, 3), (32, 32, 3)])
def test_other_shapes(shape):
    outcome = network(Architecture("ode", shape, 4, channels=8))(images(2, shape))
    assert outcome.logits.shape == (2, 4) and np.isfinite(outcome.logits).all()


@pytest.mark.slow
@pytest.mark.core
def test_an_answer_depends_on_the_tolerance_less_and_less():
    small = Architecture("ode", (8, 8, 1), 3, channels=8, augment=4)
    net, pictures = moved(network(small)), images(4, (8, 8, 1))
    answers = {
        tolerance: with_solving(net, Solving(rtol=tolerance, atol=tolerance))(pictures)
        for tolerance in (1e-1, 1e-3, 1e-6)
    }
    far, near = (
        float(jnp.abs(answers[one].logits - answers[1e-6].logits).max()) for one in (1e-1, 1e-3)
    )
    assert near < 1e-2 and near <= far
    assert answers[1e-1].nfe < answers[1e-6].nfe


@pytest.mark.parametrize("adjoint", ["reversible", "backsolve", "direct"])
def test_adjoints_give_one_gradient(adjoint):
    """RK-Net (backpropagation through the solver) and ODE-Net differ in memory only."""
    small = Architecture("ode", (8, 8, 1), 3, channels=4)
    net, pictures = moved(network(small)), images(2, (8, 8, 1))

    @eqx.filter_grad
    def gradient(net):
        return jnp.sum(net(pictures).logits ** 2)

    steps = 1 if adjoint == "direct" else 40
    found = gradient(with_solving(net, Solving("rk4", steps=steps, adjoint=adjoint)))
    wanted = gradient(with_solving(net, Solving("rk4", steps=steps)))
    size = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(wanted))
    for ours, exact in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=2e-2, atol=2e-3 * size)


@pytest.mark.slow
def test_energy_is_a_penalty():
    small, solving = Architecture("ode", (8, 8, 1), 3, channels=4), Solving("rk4", steps=2)
    still = network(small, solving)
    for net, moves in ((still, False), (moved(still), True)):
        asked = with_solving(net, solving, energy=0.5)
        assert (float(asked(images(2, (8, 8, 1))).penalty) > 0) == moves
        assert float(net(images(2, (8, 8, 1))).penalty) == 0
