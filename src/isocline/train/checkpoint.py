"""Checkpoints: one safetensors file, replaced atomically: a kill always leaves a whole one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.errors import InputError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a neighbour first, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Checkpoint:
    """Where a training run keeps its state, and the description that a resumed run must match.

    Args:
        path: the file.
        fingerprint: of the data and all settings; a checkpoint of another run is refused.
    """

    def __init__(self, path: str | Path, fingerprint: str):
        self.path, self.fingerprint = Path(path), fingerprint

    def exists(self) -> bool:
        """Whether there is something to resume."""
        return self.path.is_file()

    def write(self, tree: Any, notes: dict[str, Any]) -> None:
        """Keep the arrays of a tree, and notes that JSON can hold."""
        from safetensors.numpy import save

        leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
        arrays = {f"{index:05d}": np.asarray(leaf, order="C") for index, leaf in enumerate(leaves)}
        write_bytes(
            self.path, save(arrays, {"fingerprint": self.fingerprint, "notes": json.dumps(notes)})
        )

    def read(self, tree: Any) -> tuple[Any, dict[str, Any]]:
        """The tree with the arrays that were kept, and the notes.

        Raises:
            InputError: the file is damaged, or belongs to other data or settings.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = [file.get_tensor(name) for name in sorted(file.keys())]
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"The checkpoint {self.path} can not be read ({error}). Start anew without "
                "resuming; the file will be replaced."
            ) from error
        if metadata.get("fingerprint") != self.fingerprint:
            raise InputError(
                f"The checkpoint {self.path} belongs to other data or settings. Resume with the "
                "same data, options and seed as before, or start anew without resuming."
            )
        dynamic, static = eqx.partition(tree, eqx.is_array)
        leaves, treedef = jax.tree.flatten(dynamic)
        arrays = [jnp.asarray(array) for array in arrays]
        if [leaf.shape for leaf in leaves] != [array.shape for array in arrays]:
            raise InputError(
                f"The checkpoint {self.path} does not fit the model. Start anew without resuming."
            )
        return eqx.combine(jax.tree.unflatten(treedef, arrays), static), json.loads(
            metadata["notes"]
        )
