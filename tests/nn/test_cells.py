"""Cells and networks on rows are those of Equinox, written the other way around."""

from functools import partial

import equinox as eqx
import jax
import numpy as np
import pytest

from isocline.nn.cells import GatedCell, TanhCell, affine, perceptron

ROWS = jax.random.normal(jax.random.key(1), (7, 3))
HIDDEN = jax.random.normal(jax.random.key(2), (7, 5))


def test_the_gru_is_equinoxs():
    key = jax.random.key(0)
    ours, theirs = GatedCell(3, 5, key=key), eqx.nn.GRUCell(3, 5, key=key)
    assert jax.tree.structure(ours.__dict__) == jax.tree.structure(theirs.__dict__)
    found, expected = (jax.vmap(cell)(ROWS, HIDDEN) for cell in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_plain_cell_is_its_formula():
    cell = TanhCell(3, 5, key=jax.random.key(0))
    inner = ROWS @ cell.read.weight.T + cell.read.bias + HIDDEN @ cell.carry.weight.T
    np.testing.assert_allclose(jax.vmap(cell)(ROWS, HIDDEN), np.tanh(inner), atol=1e-6)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_network_on_rows_is_the_network(depth, use_bias):
    network = eqx.nn.MLP(
        3, 4, 6, depth, jax.nn.tanh, jax.nn.softplus, use_bias, use_bias, key=jax.random.key(3)
    )
    expected, found = (jax.vmap(one)(ROWS) for one in (network, partial(perceptron, network)))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(
        affine(network.layers[0], ROWS), jax.vmap(network.layers[0])(ROWS), atol=1e-6
    )
