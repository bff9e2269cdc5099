"""Recurrent cells, and networks, on rows.

Mapped over a batch in a scan, `weight @ row` becomes a product that XLA:CPU turns around and back
at every step; `row @ weight.T` is one as it stands. A GRU of 64 units that reads fifty rows takes
half the time for it, and a training step of a latent ODE with that two thirds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def affine(layer: eqx.nn.Linear, row: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
    """What `layer(row)` is."""
    product = row @ layer.weight.T
    return product if layer.bias is None else product + layer.bias


def perceptron(network: eqx.nn.MLP, row: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
    """What `network(row)` is, if its activations take one number at a time."""
    if not network.depth:
        return network(row)
    for layer in network.layers[:-1]:
        row = network.activation(affine(layer, row))
    return network.final_activation(affine(network.layers[-1], row))


class GatedCell(eqx.nn.GRUCell):
    """The gated recurrent unit (Cho et al. 2014), with Equinox's weights."""

    bias: Array
    bias_n: Array

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        super().__init__(inputs, hidden_size, key=key)

    def __call__(
        self, entry: Float[Array, " inputs"], hidden: Float[Array, " hidden"], *, key: Any = None
    ) -> Float[Array, " hidden"]:
        """The next hidden state."""
        reset_in, update_in, new_in = jnp.split(entry @ self.weight_ih.T + self.bias, 3)
        reset, update, new = jnp.split(hidden @ self.weight_hh.T, 3)
        reset, update = jax.nn.sigmoid(reset_in + reset), jax.nn.sigmoid(update_in + update)
        new = jnp.tanh(new_in + reset * (new + self.bias_n))
        return new + update * (hidden - new)


class TanhCell(eqx.Module):
    """The plain recurrent cell (Elman 1990): `h' = tanh(W x + U h + b)`."""

    read: eqx.nn.Linear
    carry: eqx.nn.Linear
    hidden_size: int = eqx.field(static=True)

    def __init__(self, inputs: int, hidden_size: int, *, key: PRNGKeyArray):
        first, second = jax.random.split(key)
        self.hidden_size = hidden_size
        self.read = eqx.nn.Linear(inputs, hidden_size, key=first)
        self.carry = eqx.nn.Linear(hidden_size, hidden_size, use_bias=False, key=second)

    def __call__(
        self, entry: Float[Array, " inputs"], hidden: Float[Array, " hidden"]
    ) -> Float[Array, " hidden"]:
        """The next hidden state."""
        return jnp.tanh(affine(self.read, entry) + affine(self.carry, hidden))


CELLS: dict[str, Callable[..., Any]] = {"gru": GatedCell, "tanh": TanhCell}
