"""A fitted model as a directory: `config.json` and `weights.safetensors`. Never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline._version import __version__
from isocline.errors import InputError
from isocline.train.checkpoint import write_bytes

# The newest format of each kind of model; 1 was the first of all.
FORMATS = {
    "LatentODEForecaster": 3,  # 2: with covariates, 3: shares of several rules
    "ContinuousFlow": 2,  # 2: another network of field="potential"
}
_MEND = "Restore it from a copy, or fit the model again."


def write_model(directory: Path, config: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write config and arrays; each file is replaced whole, the config last.

    Args:
        directory: made if it is not there.
        config: what JSON can hold, with "kind", the name of the estimator's class.
        arrays: by name.

    Raises:
        InputError: the disk is full, or may not be written.
    """
    from safetensors.numpy import save

    weights = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    config = {
        "format": FORMATS.get(config["kind"], 1),
        "isocline": __version__,
        "jax": jax.__version__,
    } | config
    config |= {"sha256": hashlib.sha256(weights).hexdigest()}
    config = json.loads(json.dumps(config, default=_plain))
    config["config_sha256"] = _digest(config)
    try:
        write_bytes(directory / "weights.safetensors", weights)
        write_bytes(directory / "config.json", json.dumps(config, indent=1).encode())
    except OSError as error:
        raise InputError(
            f"The model can not be written to {directory}: {error.strerror or error}. Make room "
            f"there, or name another folder."
        ) from error


@contextmanager
def refusing_damage(directory: str | Path) -> Iterator[None]:
    """Where a model is built from what `read_model` gave.

    Raises:
        InputError: config and weights do not fit each other.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"The model in {directory} is damaged: its config.json does not fit its weights "
            f"({type(error).__name__}: {error}). Restore both files from a copy."
        ) from error


def _plain(value: Any) -> Any:
    """A number of NumPy's, as a search over settings gives them, as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is nothing that JSON can hold")


def leaves_of(name: str, model: Any) -> dict[str, np.ndarray]:
    """The arrays of a model as `NAME.000`, `NAME.001`, ..."""
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_array))
    return {f"{name}.{index:03d}": np.asarray(leaf) for index, leaf in enumerate(leaves)}


def in_precision(model: Any, double: bool) -> Any:
    """A copy of a model whose inexact arrays are in double or in single precision."""
    dtype = jnp.float64 if double else jnp.float32
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype) if eqx.is_inexact_array(leaf) else leaf, model
    )


def filled(model: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """A model with the arrays that `leaves_of` gave.

    Raises:
        KeyError, ValueError: they do not fit.
    """
    dynamic, static = eqx.partition(model, eqx.is_array)
    leaves, treedef = jax.tree.flatten(dynamic)
    kept = [arrays[f"{name}.{index:03d}"] for index in range(len(leaves))]
    for leaf, array in zip(leaves, kept, strict=True):
        if leaf.shape != array.shape or not np.isfinite(array).all():
            raise ValueError(f"weights of shape {array.shape} for {leaf.shape}, or not finite")
    return eqx.combine(jax.tree.unflatten(treedef, [jnp.asarray(array) for array in kept]), static)


def read_model(directory: Path, kind: str, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and arrays of a directory that `write_model` wrote.

    Args:
        directory: of the model.
        kind: the name of the estimator's class.
        source: what writes such a folder, for the message if there is none.

    Raises:
        InputError: there is no model, it is damaged, of another kind, or from a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    config = _read_config(directory, source)
    if config.get("kind") != kind:
        raise InputError(
            f"The model in {directory} is a {config.get('kind')}, and not a {kind}: read it by "
            f"{config.get('kind')}.load."
        )
    weights = directory / "weights.safetensors"
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise InputError(
            f"The file {weights} can not be read: {error.strerror}. {_MEND}"
        ) from error
    if hashlib.sha256(content).hexdigest() != config.get("sha256"):
        raise InputError(
            f"The file {weights} is damaged: its checksum is not the one in config.json. {_MEND}"
        )
    try:
        return config, load(content)
    except SafetensorError as error:
        raise InputError(f"The file {weights} is damaged: {error}. {_MEND}") from error


def _read_config(directory: Path, source: str) -> dict[str, Any]:
    file = directory / "config.json"
    try:
        config = json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"There is no model in {directory}: it has no config.json. Give the folder that "
            f"{source}."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The file {file} can not be read: {error}. {_MEND}") from error
    version = config.get("format") if isinstance(config, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(
            f"The file {file} is not one of Isocline's: it names no format version. Give the "
            f"folder that {source}."
        )
    newest = FORMATS.get(str(config.get("kind")), 1)
    if version > newest:
        raise InputError(
            f"The model in {directory} has format {version}, written by Isocline "
            f"{config.get('isocline')}; this is Isocline {__version__}, which reads up to format "
            f"{newest}. Upgrade Isocline to read it."
        )
    # The first models had no such entry.
    if config.get("config_sha256", _digest(config)) != _digest(config):
        raise InputError(
            f"The file {file} is damaged: its checksum is not the one that it holds. {_MEND}"
        )
    return config


def _digest(config: dict[str, Any]) -> str:
    """Of all entries of a config but itself, however the file lays them out."""
    entries = {name: value for name, value in config.items() if name != "config_sha256"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
