"""Makes the small image sets that come with Isocline, from the published ones.

Usage: ISOCLINE_DATA=<folder> python scripts/make_builtin_images.py

The folder has `mnist/` and `fashion_mnist/` with the four idx files each, and
`digits/digits.csv.gz` (scikit-learn's). The first images of each part are taken as they come.
"""

from __future__ import annotations

import gzip
import os
import sys
from pathlib import Path

import numpy as np

from isocline.data.images import load_images

FILES = Path(__file__).parents[1] / "src" / "isocline" / "data" / "files"
CUTS = {"mnist": (2000, 1000), "fashion_mnist": (1500, 500)}
DIGITS_TEST = 360


def main() -> None:
    """Write `NAME_small.npz` for each cut, and `digits.npz`."""
    for name, (train, test) in CUTS.items():
        full = load_images(name)
        np.savez_compressed(
            FILES / f"{name}_small.npz",
            train_images=full.train_images[:train, ..., 0],
            train_labels=full.train_labels[:train],
            test_images=full.test_images[:test, ..., 0],
            test_labels=full.test_labels[:test],
        )
    packed = Path(os.environ["ISOCLINE_DATA"]) / "digits" / "digits.csv.gz"
    with gzip.open(packed, "rt") as file:
        rows = np.loadtxt(file, delimiter=",")
    images, labels = rows[:, :64].reshape(-1, 8, 8).astype(np.uint8), rows[:, 64].astype(np.uint8)
    np.savez_compressed(
        FILES / "digits.npz",
        train_images=images[:-DIGITS_TEST] * 15,
        train_labels=labels[:-DIGITS_TEST],
        test_images=images[-DIGITS_TEST:] * 15,
        test_labels=labels[-DIGITS_TEST:],
    )


if __name__ == "__main__":
    sys.exit(main())
