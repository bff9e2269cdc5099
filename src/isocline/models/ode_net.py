"""ODE-Nets (Chen et al. 2018, sec. 3): image classifiers with a solve instead of residual blocks.

The baselines are here as well, on the same stem and head: a ResNet of any number of blocks, no
block at all, and the multilayer perceptron of LeCun et al. (1998).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.nn import KineticEnergy, regularized_solve
from isocline.nn.convolution import Images
from isocline.nn.images import (
    Convolution,
    ConvolutionalField,
    GroupNorm,
    ResidualBlock,
    Stem,
)
from isocline.ode import solve

from .solving import Solving

SPAN = (0.0, 1.0)  # the block's time
WHOLE = SPAN[1] - SPAN[0]  # a step over all of it
NARROW = 12  # pixels: images below that are halved once, and others twice
# Each convolution of a stem: the block's channels divided by its own, size, stride, padding.
STEMS = {
    "small": ((2, 4, 2, 0), (1, 3, 2, 0)),
    "medium": ((4, 3, 1, 0), (2, 4, 2, 1), (1, 4, 2, 1)),
    "chen": ((1, 3, 1, 0), (1, 4, 2, 1), (1, 4, 2, 1)),
}
NARROW_STEM = ((2, 3, 1, 1), (1, 3, 2, 0))


class Outcome(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: one row an image.
        nfe: evaluations of the field in the forward solve (blocks, of a ResNet).
        penalty: of the regularizers of the solve, an image.
    """

    logits: Float[Array, "batch classes"]
    nfe: Float[Array, ""]
    penalty: Float[Array, ""]


class ODEBlock(eqx.Module):
    """The flow of a field from time 0 to 1, of all images of a batch with the same steps.

    Attributes:
        field: `f(t, y)`.
        solving: how it is solved.
        augment: channels of zeros that the state gets beside its own (Dupont et al. 2019).
        energy: weight of the kinetic energy, an image (Finlay et al. 2020); while it learns.
    """

    field: Callable[..., Images]
    solving: Solving = eqx.field(static=True)
    augment: int = eqx.field(static=True, default=0)
    energy: float = eqx.field(static=True, default=0.0)

    def start(self, y: Images) -> Images:
        """The state at time 0, with its channels of zeros."""
        return jnp.pad(y, ((0, 0), (0, 0), (0, 0), (0, self.augment)))

    def __call__(self, y: Images) -> tuple[Images, Float[Array, ""], Float[Array, ""]]:
        y = self.start(y)
        ts, options = jnp.asarray(SPAN, y.dtype), self.solving.options()
        penalty = jnp.zeros(())
        if self.energy:
            # Of all components of all images: the mean is what does not depend on their number.
            terms = KineticEnergy(self.energy / y.size)
            found = regularized_solve(self.field, y, ts, regularizers=terms, **options)
            solution, penalty = found.solution, found.penalty
        else:
            solution = solve(self.field, y, ts, **options)
        return solution.ys[-1], solution.stats.nfe.astype(jnp.float32), penalty


class ResidualBlocks(eqx.Module):
    """So many residual blocks, one after the other; none is the identity."""

    blocks: tuple[ResidualBlock, ...]

    def __call__(self, y: Images) -> tuple[Images, Float[Array, ""], Float[Array, ""]]:
        for block in self.blocks:
            y = block(y)
        return y, jnp.asarray(float(len(self.blocks))), jnp.zeros(())


class ImageNetwork(eqx.Module):
    """Stem, block, and a linear classifier of the channels' means."""

    stem: Stem
    block: ODEBlock | ResidualBlocks
    norm: GroupNorm
    head: eqx.nn.Linear

    def __call__(self, images: Images) -> Outcome:
        y, nfe, penalty = self.block(self.stem(images))
        features = jnp.mean(jax.nn.silu(self.norm(y)), axis=(1, 2))
        return Outcome(jax.vmap(self.head)(features), nfe, penalty)


class Perceptron(eqx.Module):
    """Pixels, a hidden layer, classes."""

    hidden: eqx.nn.Linear
    head: eqx.nn.Linear

    def __call__(self, images: Images) -> Outcome:
        flat = images.reshape(images.shape[0], -1)
        features = jax.nn.silu(jax.vmap(self.hidden)(flat))
        return Outcome(jax.vmap(self.head)(features), jnp.zeros(()), jnp.zeros(()))


Network = ImageNetwork | Perceptron


@dataclass(frozen=True)
class Architecture:
    """A network by its numbers.

    Attributes:
        kind: "ode", "resnet" or "mlp".
        shape: height, width and channels of an image.
        classes: how many.
        channels: of the stem and the block.
        blocks: of a ResNet; 0 leaves the stem and the head.
        hidden: units of the MLP (300 in LeCun et al. 1998).
        stem: one of `STEMS`: "small" (two convolutions), "medium" (three), or "chen" (the three of
            Chen et al. 2018, wide from the start: it costs five evaluations of the field).
        augment: of an `ODEBlock`.
    """

    kind: str
    shape: tuple[int, ...]
    classes: int
    channels: int = 64
    blocks: int = 6
    hidden: int = 300
    stem: str = "small"
    augment: int = 0


def build_network(architecture: Architecture, solving: Solving, *, key: PRNGKeyArray) -> Network:
    """An untrained network."""
    stem_key, block_key, head_key = jax.random.split(key, 3)
    height, width, pixel = architecture.shape
    classes, channels = architecture.classes, architecture.channels
    if architecture.kind == "mlp":
        hidden = eqx.nn.Linear(height * width * pixel, architecture.hidden, key=block_key)
        return Perceptron(hidden, eqx.nn.Linear(architecture.hidden, classes, key=head_key))
    stem = Stem(_stem_layers(architecture, stem_key))
    if architecture.kind == "ode":
        channels += architecture.augment
        field = ConvolutionalField(channels, key=block_key)
        block = ODEBlock(field, solving, architecture.augment)
    else:
        keys = jax.random.split(block_key, max(architecture.blocks, 1))
        made = [ResidualBlock(channels, key=one) for one in keys]
        block = ResidualBlocks(tuple(made[: architecture.blocks]))
    head = eqx.nn.Linear(channels, classes, key=head_key)
    return ImageNetwork(stem, block, GroupNorm(channels), head)


def _stem_layers(architecture: Architecture, key: PRNGKeyArray) -> tuple[Convolution, ...]:
    narrow = min(architecture.shape[:2]) < NARROW
    rows = NARROW_STEM if narrow else STEMS[architecture.stem]
    layers, channels = [], architecture.shape[-1]
    for (share, size, stride, padding), one in zip(rows, jax.random.split(key, 3), strict=False):
        out = max(architecture.channels // share, 1)
        layers.append(Convolution(channels, out, size, stride, padding, key=one))
        channels = out
    return tuple(layers)


def with_solving(network: Network, solving: Solving, energy: float = 0.0) -> Network:
    """The same network with its block solved otherwise, and with this weight of its energy."""
    if not isinstance(network, ImageNetwork) or not isinstance(network.block, ODEBlock):
        return network
    block = network.block
    block = replace(block, solving=solving, energy=energy)
    return eqx.tree_at(lambda one: one.block, network, block)


def with_tolerance(network: Network, tolerance: Float[Array, ""]) -> Network:
    """The same network with its block solved to this relative and absolute tolerance."""
    if not isinstance(network, ImageNetwork) or not isinstance(network.block, ODEBlock):
        return network
    return with_solving(network, replace(network.block.solving, rtol=tolerance, atol=tolerance))


def count_parameters(network: eqx.Module) -> int:
    """How many numbers are trained."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array)))
