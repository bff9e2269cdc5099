"""Layers for images, `(batch, height, width, channels)`, and the vector field of an ODE-Net."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .convolution import Images, Kernel, convolve_inside, convolve_same

SOME = 32  # channels, from which on a convolution by tiles is faster
GROUPS = 32  # at most, as Chen et al. (2018) have it
_TINY = 1e-5


class GroupNorm(eqx.Module):
    """Each image's channels, in groups, to mean 0 and variance 1; then a scale and a shift.

    Args:
        channels: of the images; a multiple of the groups, which are at most 32.
    """

    scale: Float[Array, " channels"]
    shift: Float[Array, " channels"]
    groups: int = eqx.field(static=True)

    def __init__(self, channels: int):
        self.scale, self.shift = jnp.ones(channels), jnp.zeros(channels)
        self.groups = max(n for n in range(1, min(GROUPS, channels) + 1) if channels % n == 0)

    def __call__(self, images: Images) -> Images:
        # One pass for the sums of each channel; all else but the last line is small.
        means = jnp.mean(images, axis=(1, 2))
        squares = jnp.mean(jnp.square(images), axis=(1, 2))
        mean, square = self._of_groups(means), self._of_groups(squares)
        variance = jnp.maximum(square - jnp.square(mean), 0.0)
        factor = self.scale * jax.lax.rsqrt(variance + _TINY)
        offset = self.shift - mean * factor
        return images * factor[:, None, None] + offset[:, None, None]

    def _of_groups(
        self, channels: Float[Array, "batch channels"]
    ) -> Float[Array, "batch channels"]:
        """Means over the channels of each group, for each of its channels."""
        batch, width = channels.shape
        means = jnp.mean(channels.reshape(batch, self.groups, -1), axis=-1)
        return jnp.repeat(means, width // self.groups, axis=-1)


class Convolution(eqx.Module):
    """A square convolution.

    Args:
        channels, out: before and after.
        size, stride: of the window, and from one to the next.
        padding: zeros around the image.
    """

    kernel: Kernel
    bias: Float[Array, " out"]
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        out: int,
        size: int = 3,
        stride: int = 1,
        padding: int = 1,
        *,
        key: PRNGKeyArray,
    ):
        spread = jnp.sqrt(2 / (size * size * channels))
        self.kernel = spread * jax.random.normal(key, (size, size, channels, out))
        self.bias = jnp.zeros(out)
        self.stride, self.padding = stride, padding

    def __call__(self, images: Images) -> Images:
        small = (len(self.kernel), self.stride, self.padding) == (3, 1, 1)
        if small and images.shape[-1] >= SOME:
            return convolve_same(images, self.kernel) + self.bias
        border = (self.padding, self.padding)
        padded = jnp.pad(images, ((0, 0), border, border, (0, 0)))
        return convolve_inside(padded, self.kernel, self.stride) + self.bias


class TimedConvolution(eqx.Module):
    """A 3x3 convolution of the images and of one more channel that holds the time everywhere.

    That channel costs nothing: its convolution is the time multiplied by sums of its kernel, over
    the part of the window that is inside, the same for all images.
    """

    images: Convolution
    time: Float[Array, "3 3 1 out"]

    def __init__(self, channels: int, *, key: PRNGKeyArray):
        self.images = Convolution(channels, channels, key=key)
        self.time = jnp.zeros((3, 3, 1, channels))

    def __call__(self, t: Float[Array, ""], images: Images) -> Images:
        sums = _inside(*images.shape[1:3]) @ self.time.reshape(9, -1)
        return self.images(images) + t * sums.reshape(*images.shape[1:3], -1)


def _inside(height: int, width: int) -> Float[np.ndarray, "pixels 9"]:
    """For each pixel, which of the nine around it are pixels of the image."""
    padded = np.pad(np.ones((height, width), np.float32), 1)
    shifted = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.stack(shifted, axis=-1).reshape(-1, 9)


class ResidualBlock(eqx.Module):
    """`y + conv(act(norm(conv(act(norm(y))))))`: pre-activated (He et al. 2016b)."""

    norms: tuple[GroupNorm, GroupNorm]
    convolutions: tuple[Convolution, Convolution]

    def __init__(self, channels: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.norms = GroupNorm(channels), GroupNorm(channels)
        first, last = (Convolution(channels, channels, key=one) for one in keys)
        self.convolutions = first, _zeroed(last)

    def __call__(self, y: Images) -> Images:
        change = y
        for norm, convolve in zip(self.norms, self.convolutions, strict=True):
            change = convolve(jax.nn.silu(norm(change)))
        return y + change


class ConvolutionalField(eqx.Module):
    """The residual block as a vector field: `f(t, y)` is its change, and its convolutions see t.

    Chen et al. (2018) have ReLU, and a third norm at the end. Here the activation is smooth (silu),
    so that a solver of high order pays, and the last convolution begins at zero, so that an
    untrained block is the identity and the solver's cheapest problem.
    """

    norms: tuple[GroupNorm, GroupNorm]
    convolutions: tuple[TimedConvolution, TimedConvolution]

    def __init__(self, channels: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.norms = GroupNorm(channels), GroupNorm(channels)
        first, last = (TimedConvolution(channels, key=one) for one in keys)
        self.convolutions = first, eqx.tree_at(lambda one: one.images, last, _zeroed(last.images))

    def __call__(self, t: Float[Array, ""], y: Images, args: None = None) -> Images:
        for norm, convolve in zip(self.norms, self.convolutions, strict=True):
            y = convolve(t, jax.nn.silu(norm(y)))
        return y


def _zeroed(convolution: Convolution) -> Convolution:
    return eqx.tree_at(lambda one: one.kernel, convolution, jnp.zeros_like(convolution.kernel))


class Stem(eqx.Module):
    """From pixels to a small image of many channels: convolutions with norms between them."""

    convolutions: tuple[Convolution, ...]
    norms: tuple[GroupNorm, ...]

    def __init__(self, convolutions: tuple[Convolution, ...]):
        self.convolutions = convolutions
        self.norms = tuple(GroupNorm(one.kernel.shape[-1]) for one in convolutions[:-1])

    def __call__(self, images: Images) -> Images:
        first, *rest = self.convolutions
        images = first(images)
        for norm, convolve in zip(self.norms, rest, strict=True):
            images = convolve(jax.nn.silu(norm(images)))
        return images
