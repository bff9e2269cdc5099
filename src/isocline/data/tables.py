"""Real tables to learn densities of."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from isocline.data.columns import did_you_mean
from isocline.data.remote import fetch, held_file
from isocline.errors import InputError

# The array of an npz, and copies that ISOCLINE_DATA may hold instead of the published files, which
# are UCI's tables as public repositories compile them.
TABLES = MappingProxyType(
    {
        "magic": ("X", "tabular/uci_tabular/adbench_magic_gamma.npz"),
        "protein": (None, "tabular/uci_tabular/protein.csv.gz"),
        "shuttle": ("X", "tabular/uci_tabular/adbench_shuttle.npz"),
    }
)


def load_table(name: str) -> Float[np.ndarray, "rows columns"]:
    """A table of numbers of UCI's repository, in single precision.

    `"magic"`: 19,020 showers in a gamma-ray telescope, 10 columns; `"protein"`: 45,730 structures,
    10 columns; `"shuttle"`: 49,097 readings, 9 columns. Read from the folder that `ISOCLINE_DATA`
    names or from the cache, else downloaded once.

    Raises:
        InputError: there is none of that name, or it can not be had; the message says what to put
            where.
    """
    array, path = _found(name, tuple(TABLES))
    if array is None:
        return np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), np.float32, delimiter=",")
    with np.load(path) as found:
        return np.asarray(found[array], np.float32)


def load_labelled(
    name: str,
) -> tuple[Float[np.ndarray, "rows columns"], Bool[np.ndarray, " rows"]]:
    """A table as `load_table` gives it, and which of its rows are anomalous.

    As ADBench (Han et al. 2022) says of `"magic"`: 6,688 hadrons among 12,332 gammas; and of
    `"shuttle"`: 3,511 readings of other classes than the first, without those of the fourth.

    Raises:
        InputError: as `load_table` does; and there are no labels of that table.
    """
    known = tuple(table for table, (array, _) in TABLES.items() if array is not None)
    array, path = _found(name, known)
    with np.load(path) as found:
        return np.asarray(found[array], np.float32), np.asarray(found["y"]) != 0


def _found(name: str, known: tuple[str, ...]) -> tuple[str | None, Path]:
    """The array of a table, and the file that it is in."""
    if name not in known:
        wrong = f"There is no table '{name}'."
        if name in TABLES:
            wrong = f"The table '{name}' has no labels."
        raise InputError(f"{wrong}{did_you_mean(name, known)} There are: {', '.join(known)}.")
    array, copy = TABLES[name]
    return array, held_file(copy) or fetch(name)
