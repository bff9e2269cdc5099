"""Layers for images agree with their definitions, in values and gradients."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.nn.convolution import convolve_inside, convolve_same
from isocline.nn.images import (
    ConvolutionalField,
    GroupNorm,
    ResidualBlock,
    TimedConvolution,
)

NUMBERS = ("NHWC", "HWIO", "NHWC")


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def reference(images, kernel, stride=1, padding="SAME"):
    strides = (stride, stride)
    return jax.lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=NUMBERS)


@pytest.mark.core
@pytest.mark.parametrize("height, width", [(6, 6), (7, 5), (3, 1)])
def test_a_convolution_by_tiles_is_a_convolution(height, width):
    images, kernel = draw(2, height, width, 3), draw(3, 3, 3, 4, seed=1)
    cotangent = draw(2, height, width, 4, seed=2)
    ours, pull = jax.vjp(convolve_same, images, kernel)
    theirs, pull_theirs = jax.vjp(reference, images, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for found, wanted in zip(pull(cotangent), pull_theirs(cotangent), strict=True):
        np.testing.assert_allclose(found, wanted, atol=3e-5)


@pytest.mark.parametrize("channels", [3, 64])
@pytest.mark.parametrize("size, stride", [(4, 2), (3, 2), (3, 1)])
def test_convolutions_inside(channels, size, stride):
    images, kernel = draw(2, 11, 9, channels), draw(size, size, channels, 4, seed=1)
    wanted = reference(images, kernel, stride, "VALID")
    np.testing.assert_allclose(convolve_inside(images, kernel, stride), wanted, atol=1e-4)


def test_group_norm_is_that_of_its_definition():
    norm, images = GroupNorm(6), 3 + 2 * draw(2, 4, 5, 6)
    assert norm.groups == 6
    normed = GroupNorm(64)(draw(2, 4, 4, 64) * 7 + 1)
    groups = np.asarray(normed).reshape(2, 16, 32, 2).transpose(0, 2, 1, 3).reshape(2, 32, -1)
    np.testing.assert_allclose(groups.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(groups.std(axis=-1), 1, atol=1e-3)
    np.testing.assert_allclose(np.asarray(norm(images)).mean(axis=(1, 2)), 0, atol=1e-5)


def test_time_is_a_channel_more():
    layer = TimedConvolution(4, key=jax.random.key(0))
    layer = eqx.tree_at(lambda one: one.time, layer, draw(3, 3, 1, 4, seed=3))
    images, t = draw(2, 6, 6, 4), 0.7
    with_time = jnp.concatenate([images, jnp.full((2, 6, 6, 1), t)], axis=-1)
    kernel = jnp.concatenate([layer.images.kernel, layer.time], axis=2)
    np.testing.assert_allclose(
        layer(jnp.asarray(t), images), reference(with_time, kernel), atol=1e-5
    )


def test_untrained_blocks_change_nothing():
    images = draw(2, 6, 6, 8)
    np.testing.assert_array_equal(ResidualBlock(8, key=jax.random.key(0))(images), images)
    field = ConvolutionalField(8, key=jax.random.key(0))
    assert not np.any(field(jnp.asarray(0.3), images))
