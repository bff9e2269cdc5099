"""Images and labels as a user gives them, read, or refused with the place and a way to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from isocline.errors import InputError

SMALLEST = 6  # pixels, in height and width


def read_images(
    images: Any, shape: tuple[int, ...] | None = None
) -> UInt8[np.ndarray, "n height width channels"]:
    """Images as bytes.

    Args:
        images: `(n, height, width)` or `(n, height, width, channels)`: whole numbers from 0 to 255,
            or fractions from 0 to 1.
        shape: height, width and channels that they must have.

    Raises:
        InputError: another shape, no numbers, something not finite, or out of range.
    """
    try:
        values = np.asarray(images)
    except ValueError as error:
        raise InputError(f"The images are not all of one size ({error}). Resize them.") from error
    if values.dtype.kind not in "uifb":
        raise InputError(f"The images are of type {values.dtype}: numbers are needed.")
    if values.ndim not in (3, 4):
        raise InputError(
            f"The images have shape {values.shape}: (n, height, width) or (n, height, width, "
            f"channels) is needed. Pixels in rows can be brought there by X.reshape(len(X), "
            f"height, width)."
        )
    values = values[..., None] if values.ndim == 3 else values
    if not len(values):
        raise InputError("There are no images.")
    _check_size(values, shape)
    return _bytes_of(values)


def _check_size(values: np.ndarray, shape: tuple[int, ...] | None) -> None:
    found = values.shape[1:]
    if shape is not None and found != tuple(shape):
        raise InputError(
            f"The images are {_size(found)}, and the model learnt from {_size(shape)}."
        )
    if found[2] not in (1, 3, 4):
        raise InputError(
            f"The images are {_size(found)}: they need 1, 3 or 4 channels, and those last. "
            f"Channels that come first are moved by np.moveaxis(X, 1, -1)."
        )
    if min(found[:2]) < SMALLEST:
        raise InputError(
            f"The images are {_size(found)}: height and width must be at least {SMALLEST} pixels."
        )


def _size(shape: Sequence[int]) -> str:
    height, width, channels = shape
    return f"{height} x {width} with {channels} channel{'s' * (channels > 1)}"


def _bytes_of(values: np.ndarray) -> np.ndarray:
    bad = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(0, bool)
    if bad.any():
        image, row, column, channel = np.argwhere(bad)[0]
        raise InputError(
            f"Image {image} is not finite ({values[image, row, column, channel]}) at row {row}, "
            f"column {column}; {bad.any(axis=(1, 2, 3)).sum()} images are like that. Leave them "
            f"out, or fill such pixels."
        )
    low, high = values.min(), values.max()
    most = 255 if values.dtype.kind in "ui" else 1
    if low < 0 or high > most:
        outside = (values < 0) | (values > most)
        whole = "whole numbers from 0 to 255" if most == 255 else "fractions from 0 to 1"
        raise InputError(
            f"Image {np.argwhere(outside)[0][0]} is out of range: all values lie from {low:g} to "
            f"{high:g}, and {values.dtype} must be {whole}. Scale them, or make them uint8."
        )
    if values.dtype.kind in "fb":
        values = np.rint(values.astype(np.float32) * 255)
    return values.astype(np.uint8)


def read_labels(
    labels: Any, count: int, classes: Sequence[Any] | None = None
) -> tuple[np.ndarray, Int[np.ndarray, " n"]]:
    """The classes, and the index of each label among them.

    Args:
        labels: one an image: numbers or names.
        count: of images.
        classes: all that there may be; those that occur if not given.

    Raises:
        InputError: too few labels, a label that is missing or no class, or a class without images.
    """
    values = np.asarray(labels)
    if values.shape != (count,):
        raise InputError(
            f"The labels have shape {values.shape}: one for each of {count} images is needed."
        )
    if values.dtype.kind == "f":
        broken = np.flatnonzero(~np.isfinite(values) | (values != np.rint(values)))
        if len(broken):
            raise InputError(
                f"Label {broken[0]} is {values[broken[0]]}: a class is a whole number or a name."
            )
    if values.dtype.kind not in "iufUSb":
        raise InputError(
            f"The labels are of type {values.dtype}: all of them whole numbers, or all names."
        )
    known = np.unique(values) if classes is None else np.asarray(classes)
    positions = {value: place for place, value in enumerate(known.tolist())}
    unknown = [place for place, value in enumerate(values.tolist()) if value not in positions]
    if unknown:
        raise InputError(
            f"Label {unknown[0]} is {values.tolist()[unknown[0]]!r}, which is none of the classes "
            f"{_listed(known)}; {len(unknown)} labels are like that."
        )
    indices = np.array([positions[value] for value in values.tolist()], np.int32)
    _check_classes(known, np.bincount(indices, minlength=len(known)), given=classes is not None)
    return known, indices


def _check_classes(known: np.ndarray, found: np.ndarray, given: bool) -> None:
    if len(known) < 2:
        raise InputError(f"All labels are {known.tolist()[0]!r}: two classes at least are needed.")
    if (found < 2).any():
        name, number = known.tolist()[found.argmin()], found.min()
        say = "leave it out of `classes`" if given else "leave it out"
        raise InputError(
            f"Class {name!r} has {number or 'no'} image{'' if number == 1 else 's'}: at least two "
            f"are needed, one to learn from and one to validate with. Add images, or {say}."
        )


def _listed(classes: np.ndarray) -> str:
    shown = [repr(value) for value in classes.tolist()]
    return ", ".join(shown if len(shown) <= 12 else [*shown[:10], "...", shown[-1]])
