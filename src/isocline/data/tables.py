"""Real tables to learn densities of, read from the folder that ISOCLINE_DATA names."""

from __future__ import annotations

import gzip
import io
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from isocline.data.columns import did_you_mean
from isocline.data.remote import data_file
from isocline.errors import InputError

# Files below the folder, and the array of an npz. UCI's tables as public repositories compile them.
TABLES = MappingProxyType(
    {
        "magic": ("tabular/uci_tabular/adbench_magic_gamma.npz", "X"),
        "protein": ("tabular/uci_tabular/protein.csv.gz", None),
        "shuttle": ("tabular/uci_tabular/adbench_shuttle.npz", "X"),
        "miniboone, 1,523 rows": ("tabular/miniboone_head/miniboone_first1523.npz", "x"),
    }
)


def load_table(name: str) -> Float[np.ndarray, "rows columns"]:
    """A table of numbers.

    Raises:
        InputError: there is none of that name, or its file is not there.
    """
    if name not in TABLES:
        raise InputError(
            f"There is no table '{name}'.{did_you_mean(name, TABLES)} There are: "
            f"{', '.join(TABLES)}."
        )
    place, array = TABLES[name]
    path = data_file(place, f"The table '{name}'")
    if array is None:
        return np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), delimiter=",")
    with np.load(path) as found:
        return np.asarray(found[array], np.float64)
