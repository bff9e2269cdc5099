"""Convolutions of images, `(batch, height, width, channels)`, that are fast inside loops as well.

XLA on CPU (jaxlib 0.10) brings convolutions into the form that its fast code wants only outside of
loops: in a `while_loop`, as every solve is one, a 3x3 convolution in NCHW takes 180 ms instead of
6, and the gradient by its kernel 300 ms instead of 12 (batch 128, 64 channels, 7x7). Those here
consist of matrix products, which are fast everywhere, and so do their gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "batch height width channels"]
Kernel = Float[Array, "rows columns channels out"]

WIDE = 64  # channels, from which on a product for each pixel of the window is faster

# Winograd's minimal filtering F(2x2, 3x3) (Lavin & Gray 2016, sec. 4.1): 16 products for 36.
_FILTER = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
_Grid = list[list[Array]]


@jax.custom_vjp
def convolve_same(images: Images, kernel: Float[Array, "3 3 channels out"]) -> Images:
    """A 3x3 convolution with stride 1 and a border of zeros: as large as the images are.

    In tiles of 2x2 pixels, each from a window of 4x4: `A^T [(G g G^T) * (B^T d B)] A`, where the
    transforms are sums and differences, and all that is left are 16 matrix products. The derivative
    by the images is such a convolution as well, that by the kernel 16 products of the transforms.
    """
    filters = jnp.einsum("ai,bj,ijco->abco", _FILTER, _FILTER, kernel)
    windows = _windows(images)
    products = [
        [jnp.einsum("nhwc,co->nhwo", windows[a][b], filters[a, b]) for b in range(4)]
        for a in range(4)
    ]
    return _pixels(_turned(products, _after), images.shape)


def _convolve_forward(images: Images, kernel: Kernel) -> tuple[Images, tuple[Images, Kernel]]:
    return convolve_same(images, kernel), (images, kernel)


def _convolve_backward(kept: tuple[Images, Kernel], cotangent: Images) -> tuple[Images, Kernel]:
    images, kernel = kept
    by_images = convolve_same(cotangent, jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    windows, products = _windows(images), _turned(_tiles(cotangent), _after_transposed)
    filters = [
        # An einsum over three axes takes half as long again as this product of matrices.
        [_matrix(products[a][b]).T @ _matrix(windows[a][b]) for b in range(4)]
        for a in range(4)
    ]
    stacked = jnp.stack([jnp.stack(row) for row in filters])
    return by_images, jnp.einsum("ai,bj,aboc->ijco", _FILTER, _FILTER, stacked)


convolve_same.defvjp(_convolve_forward, _convolve_backward)


def _matrix(images: Images) -> Float[Array, "pixels channels"]:
    return images.reshape(-1, images.shape[-1])


def _windows(images: Images) -> _Grid:
    """`B^T d B` of the window of 4x4 around each tile, one array for each of its 16 entries."""
    height, width = images.shape[1:3]
    rows, columns = -(-height // 2), -(-width // 2)
    ends = (1, 2 * rows + 1 - height), (1, 2 * columns + 1 - width)
    padded = jnp.pad(images, ((0, 0), *ends, (0, 0)))
    pixels = [
        [padded[:, i : i + 2 * rows : 2, j : j + 2 * columns : 2] for j in range(4)]
        for i in range(4)
    ]
    return _turned(pixels, _before)


def _tiles(images: Images) -> _Grid:
    """The tiles of 2x2 pixels, one array for each of the four."""
    height, width = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    return [[padded[:, i::2, j::2] for j in range(2)] for i in range(2)]


def _pixels(tiles: _Grid, shape: tuple[int, ...]) -> Images:
    """The image of tiles of 2x2 pixels."""
    batch, height, width, _ = shape
    rows, columns = -(-height // 2), -(-width // 2)
    stacked = jnp.stack([jnp.stack(line, axis=3) for line in tiles], axis=2)
    return stacked.reshape(batch, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _turned(grid: _Grid, turn: Callable[[tuple[Array, ...]], tuple[Array, ...]]) -> _Grid:
    """A transform of the columns of a grid, then of its rows."""
    down = zip(*(turn(column) for column in zip(*grid)))
    return [list(turn(row)) for row in down]


def _before(window: tuple[Array, ...]) -> tuple[Array, ...]:
    """`B^T d`, of one line of four pixels."""
    a, b, c, d = window
    return a - c, b + c, c - b, b - d


def _after(products: tuple[Array, ...]) -> tuple[Array, ...]:
    """`A^T m`, of one line of four products."""
    a, b, c, d = products
    return a + b + c, b - c - d


def _after_transposed(pixels: tuple[Array, ...]) -> tuple[Array, ...]:
    """`A y`, of one line of two pixels."""
    a, b = pixels
    return a, a + b, a - b, -b


def convolve_inside(images: Images, kernel: Kernel, stride: int = 1) -> Images:
    """A convolution without a border, windows `stride` apart, in as few products as is fast."""
    if stride > 1 and len(kernel) % stride == 0:
        images, kernel = _folded(images, kernel, stride)
        stride = 1
    pixels, out = _pixels_of_windows(images, len(kernel), stride), kernel.shape[-1]
    shape = (*pixels[0].shape[:3], out)
    if images.shape[-1] < WIDE:
        windows = jnp.concatenate(pixels, axis=-1)
        return (windows.reshape(-1, windows.shape[-1]) @ kernel.reshape(-1, out)).reshape(shape)
    # All windows side by side are too large a copy where channels are many.
    taps = kernel.reshape(-1, *kernel.shape[2:])
    return sum(
        (pixel.reshape(-1, len(tap)) @ tap for pixel, tap in zip(pixels, taps, strict=True)),
        jnp.zeros((), images.dtype),
    ).reshape(shape)


def _folded(images: Images, kernel: Kernel, stride: int) -> tuple[Images, Kernel]:
    """The same convolution with stride 1: squares of pixels are pixels of more channels."""
    batch, height, width, channels = images.shape
    size, out = len(kernel) // stride, kernel.shape[-1]
    rows, columns = ((n - len(kernel)) // stride + size for n in (height, width))
    used = images[:, : rows * stride, : columns * stride]
    squares = used.reshape(batch, rows, stride, columns, stride, channels).swapaxes(2, 3)
    taps = kernel.reshape(size, stride, size, stride, channels, out).swapaxes(1, 2)
    wide = stride * stride * channels
    return squares.reshape(batch, rows, columns, wide), taps.reshape(size, size, wide, out)


def _pixels_of_windows(images: Images, size: int, stride: int) -> list[Images]:
    """For each pixel of a square window, that pixel of all windows that are inside."""
    height, width = images.shape[1:3]
    down, across = height - size + 1, width - size + 1
    return [
        images[:, i : i + down : stride, j : j + across : stride]
        for i in range(size)
        for j in range(size)
    ]
