"""Labelled images, from files that come along and from idx files."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from isocline.data import image_sets, load_images, read_idx, remote
from isocline.errors import InputError


@pytest.mark.parametrize("name, train, test", [("digits", 1437, 360), ("mnist_small", 2000, 1000)])
def test_sets_that_come_along(name, train, test):
    found = load_images(name)
    assert found.train_images.shape[0] == len(found.train_labels) == train
    assert found.test_images.shape[0] == len(found.test_labels) == test
    assert found.train_images.dtype == np.uint8 and found.train_images.ndim == 4
    assert set(found.test_labels) == set(range(10)) and len(found.classes) == 10


def test_small_sets_are_the_beginning_of_the_whole_ones(whole_images):
    for name in ("mnist", "fashion_mnist"):
        whole, small = load_images(name), load_images(f"{name}_small")
        assert whole.train_images.shape == (60_000, 28, 28, 1)
        assert whole.test_images.shape == (10_000, 28, 28, 1)
        count = len(small.train_labels)
        np.testing.assert_array_equal(whole.train_images[:count], small.train_images)
        np.testing.assert_array_equal(whole.train_labels[:count], small.train_labels)


@pytest.fixture
def whole_images():
    """Whole sets, where somebody has put them."""
    try:
        remote.fetch("mnist_train_images")
        remote.fetch("fashion_mnist_train_images")
    except InputError:
        pytest.skip("the whole sets are not here, and can not be downloaded")


def idx(values):
    header = (2051, *values.shape) if values.ndim == 3 else (2049, *values.shape)
    return struct.pack(f">{len(header)}i", *header) + values.tobytes()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files(tmp_path, pack):
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "images"
    path.write_bytes(pack(idx(values)))
    np.testing.assert_array_equal(read_idx(path), values)
    path.write_bytes(pack(idx(values[0, 0])))
    np.testing.assert_array_equal(read_idx(path), values[0, 0])


DAMAGED = {
    "empty": b"",
    "only its beginning": b"\x00\x00\x08\x03",
    "something else": b"PNG image",
    "cut off while packed": gzip.compress(b"abcd")[:9],
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_idx_files(tmp_path, content):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"images\.gz is not a whole idx file"):
        read_idx(path)


def test_one_checksum_for_every_packing(tmp_path, monkeypatch):
    labels = np.arange(5, dtype=np.uint8)
    known = remote.hashlib.sha256(idx(labels)).hexdigest()
    entry = remote.Remote("https://example.org/labels.gz", known, "some/labels.gz", "none")
    monkeypatch.setitem(remote.REGISTRY, "some_labels", entry)
    monkeypatch.setenv("ISOCLINE_DATA", str(tmp_path))
    path = tmp_path / "some" / "labels.gz"
    path.parent.mkdir()
    for level in (1, 9):
        path.write_bytes(gzip.compress(idx(labels), level))
        np.testing.assert_array_equal(read_idx(remote.fetch("some_labels")), labels)
    path.write_bytes(gzip.compress(idx(labels))[:-9])
    with pytest.raises(InputError, match="SHA-256"):
        remote.fetch("some_labels")


def test_an_unknown_set():
    with pytest.raises(InputError, match="Did you mean 'mnist'"):
        load_images("mnits")
    assert "digits" in image_sets()
