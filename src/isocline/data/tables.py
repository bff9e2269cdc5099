"""Real tables to learn densities of."""

from __future__ import annotations

import gzip
import io
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

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
    if name not in TABLES:
        raise InputError(
            f"There is no table '{name}'.{did_you_mean(name, TABLES)} There are: "
            f"{', '.join(TABLES)}."
        )
    array, copy = TABLES[name]
    path = held_file(copy) or fetch(name)
    if array is None:
        return np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), np.float32, delimiter=",")
    with np.load(path) as found:
        return np.asarray(found[array], np.float32)
