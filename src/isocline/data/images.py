"""Labelled images: MNIST and Fashion-MNIST, and small sets that come with Isocline."""

from __future__ import annotations

import struct
from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from isocline.data.columns import did_you_mean
from isocline.data.remote import fetch, unpacked
from isocline.errors import InputError

_CLOTHES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_NUMERALS = tuple("0123456789")
_REMOTE = MappingProxyType({"mnist": _NUMERALS, "fashion_mnist": _CLOTHES})
_SHIPPED = MappingProxyType(
    {"digits": _NUMERALS, "mnist_small": _NUMERALS, "fashion_mnist_small": _CLOTHES}
)
_PARTS = ("train_images", "train_labels", "test_images", "test_labels")
_IMAGES, _LABELS = 2051, 2049  # the first number of an idx file of each sort


class ImageSet(NamedTuple):
    """Images with their labels, those to learn from and those to test with.

    Attributes:
        train_images, test_images: grey values from 0 (paper) to 255 (ink), one channel.
        train_labels, test_labels: the index of each image's class.
        classes: their names.
    """

    train_images: UInt8[np.ndarray, "train height width 1"]
    train_labels: UInt8[np.ndarray, " train"]
    test_images: UInt8[np.ndarray, "test height width 1"]
    test_labels: UInt8[np.ndarray, " test"]
    classes: tuple[str, ...]


def image_sets() -> tuple[str, ...]:
    """Names that `load_images` knows."""
    return (*_REMOTE, *_SHIPPED)


def load_images(name: str) -> ImageSet:
    """A set of labelled images.

    Args:
        name: `"mnist"` or `"fashion_mnist"`: 60,000 and 10,000 images of 28 x 28, downloaded once
            (or from the folder that `ISOCLINE_DATA` names). `"digits"`: 1,437 and 360 images of
            8 x 8; `"mnist_small"` and `"fashion_mnist_small"`: the first 2,000 and 1,500 of the
            whole sets, tested with the first 1,000 and 500. These three come with Isocline.

    Raises:
        InputError: there is no such set; it can not be downloaded; or a file is damaged.
    """
    if name in _SHIPPED:
        with (
            as_file(files("isocline.data") / "files" / f"{name}.npz") as path,
            np.load(path) as kept,
        ):
            parts = [kept[part] for part in _PARTS]
        classes = _SHIPPED[name]
    elif name in _REMOTE:
        parts = [read_idx(fetch(f"{name}_{part}")) for part in _PARTS]
        classes = _REMOTE[name]
    else:
        raise InputError(
            f"There is no image set '{name}'.{did_you_mean(name, image_sets())} There are: "
            f"{', '.join(image_sets())}."
        )
    train_images, train_labels, test_images, test_labels = parts
    return ImageSet(
        train_images[..., None], train_labels, test_images[..., None], test_labels, classes
    )


def read_idx(path: str | Path) -> UInt8[np.ndarray, "..."]:
    """The images `(n, height, width)` or labels `(n,)` of an idx file, as MNIST's, packed or not.

    Raises:
        InputError: it is no such file, or is cut off.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        content = unpacked(content)
        (kind,) = struct.unpack_from(">i", content)
        if kind not in (_IMAGES, _LABELS):
            raise ValueError(f"it begins with {kind}, and not with {_IMAGES} or {_LABELS}")
        axes = 3 if kind == _IMAGES else 1
        shape = struct.unpack_from(f">{axes}i", content, 4)
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
        return values.reshape(shape)
    except (ValueError, struct.error, OSError, EOFError) as error:
        raise InputError(
            f"{path} is not a whole idx file of images or labels ({error}). Get it again."
        ) from error
