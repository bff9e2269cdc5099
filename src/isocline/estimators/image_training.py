"""Training an image network: distorted copies of the images, each seen once an epoch."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.ndimage import map_coordinates
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from isocline.models.ode_net import Network, Solving, with_solving
from isocline.train import Problem

SHIFT = 0.08  # of the image's size, at most, to each side
ROTATION, SHEAR = 0.17, 0.15  # radians at most (10 degrees), and of the height
ZOOM = 0.1  # larger or smaller by at most this
VALIDATION_BATCH = 250


class Scale(NamedTuple):
    """What the pixels of the training images are: `(pixel / 255 - mean) / spread`."""

    mean: float
    spread: float

    def __call__(self, images: UInt8[Array, "..."] | Float[Array, "..."]) -> Float[Array, "..."]:
        return (images / jnp.float32(255) - self.mean) / self.spread


class Examples(NamedTuple):
    """Images as bytes, and the indices of their classes."""

    images: UInt8[np.ndarray, "n height width channels"]
    labels: Int[np.ndarray, " n"]


def image_problem(
    train: Examples,
    validation: Examples,
    scale: Scale,
    learning: tuple[Solving, float],
    *,
    batch_size: int,
    distortion: float,
    flip: bool,
    smoothing: float,
) -> Problem:
    """Cross-entropy on distorted images while learning; errors on the validation part as it is.

    Args:
        train, validation: apart from each other.
        scale: of the pixels.
        learning: how blocks are solved while learning, and the weight of their kinetic energy.
        batch_size: images a step.
        distortion: how much the images are shifted, turned, sheared and zoomed (0: not at all).
        flip: left and right may change places.
        smoothing: of the labels.
    """
    blank = float(scale(jnp.zeros(())))
    distort = Partial(_distort, distortion, flip, blank)
    count = len(train.labels)
    return Problem(
        Partial(_sample, distort, scale, *map(jnp.asarray, train)),
        Partial(_loss, learning, smoothing),
        Partial(_validate, scale, *map(jnp.asarray, _padded(validation))),
        order=partial(_order, count, batch_size),
    )


def _order(count: int, batch_size: int, key: PRNGKeyArray) -> Int[Array, "steps batch"]:
    steps = max(count // batch_size, 1)
    order = jax.random.permutation(key, count)
    # A batch is never short: where there are fewer images than that, some come twice.
    return jnp.resize(order, (steps, batch_size))


def _sample(
    distort: Any, scale: Scale, images: Array, labels: Array, key: PRNGKeyArray, chosen: Array
) -> tuple[Array, Array]:
    return distort(scale(images[chosen]), key), labels[chosen]


def _loss(
    learning: tuple[Solving, float],
    smoothing: float,
    network: Network,
    batch: tuple[Array, Array],
    _key: PRNGKeyArray,
    _weight: Array,
) -> tuple[Array, dict[str, Array]]:
    images, labels = batch
    outcome = with_solving(network, *learning)(images)
    classes = outcome.logits.shape[-1]
    targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), smoothing)
    loss = jnp.mean(optax.softmax_cross_entropy(outcome.logits, targets))
    wrong = jnp.mean(jnp.argmax(outcome.logits, axis=-1) != labels)
    parts = {"error": wrong, "nfe": outcome.nfe, "penalty": outcome.penalty}
    return loss + outcome.penalty, parts


def _padded(part: Examples) -> tuple[np.ndarray, np.ndarray]:
    """In batches of one size; what fills up the last one has no class."""
    count = len(part.labels)
    size = min(VALIDATION_BATCH, count)
    batches = -(-count // size)
    images = np.zeros((batches * size, *part.images.shape[1:]), np.uint8)
    labels = np.full(batches * size, -1, np.int32)
    images[:count], labels[:count] = part.images, part.labels
    return images.reshape(batches, size, *images.shape[1:]), labels.reshape(batches, size)


def _validate(
    scale: Scale,
    images: UInt8[Array, "batches batch height width channels"],
    labels: Int[Array, "batches batch"],
    network: Network,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The share of wrong answers; of equal ones, the one with the smaller loss is less.

    And the evaluations that the solver of predictions takes.
    """

    def of_batch(part: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        images, labels = part
        logits, nfe, _ = network(scale(images))
        real = labels >= 0
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
        wrong = jnp.argmax(logits, axis=-1) != labels
        return jnp.sum(wrong & real), jnp.sum(jnp.where(real, losses, 0.0)), nfe

    wrong, losses, nfe = jax.lax.map(of_batch, (images, labels))
    count = jnp.sum(labels >= 0)
    loss = jnp.sum(losses) / count
    score = (jnp.sum(wrong) + loss / (1 + loss)) / count
    parts = {"validation_error": jnp.sum(wrong) / count, "validation_loss": loss}
    return score, parts | {"validation_nfe": jnp.mean(nfe)}


def _distort(
    strength: float, flip: bool, blank: float, images: Array, key: PRNGKeyArray
) -> Float[Array, "batch height width channels"]:
    """Each image under an affine map of its own, read between its pixels."""
    if flip:
        key, own = jax.random.split(key)
        turned = jax.random.bernoulli(own, 0.5, (len(images), 1, 1, 1))
        images = jnp.where(turned, images[:, :, ::-1], images)
    if not strength:
        return images
    height, width = images.shape[1:3]
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    pixels = jnp.stack(jnp.mgrid[:height, :width], axis=-1) - middle

    def one(image: Array, key: PRNGKeyArray) -> Array:
        draws = strength * jax.random.uniform(key, (6,), minval=-1.0, maxval=1.0)
        shift = SHIFT * draws[:2] * jnp.array([height, width])
        angle, shear, (tall, wide) = ROTATION * draws[2], SHEAR * draws[3], 1 + ZOOM * draws[4:]
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        matrix = jnp.array([[cosine, -sine], [sine, cosine]]) @ jnp.array(
            [[tall, 0], [shear, wide]]
        )
        at = pixels @ matrix.T + middle + shift
        places = list(jnp.moveaxis(at, -1, 0))
        read = partial(map_coordinates, coordinates=places, order=1, mode="constant", cval=blank)
        return jnp.stack([read(image[..., c]) for c in range(image.shape[-1])], axis=-1)

    return jax.vmap(one)(images, jax.random.split(key, len(images)))
