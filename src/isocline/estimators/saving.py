"""A fitted forecaster as a directory: `config.json` and `weights.safetensors`. Never pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline._version import __version__
from isocline.data import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.windows import Split
from isocline.train.checkpoint import write_bytes

from .calibration import Calibration
from .predicting import Predictor
from .preparing import Scaling, SeriesScale
from .windows import Shape

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster

FORMAT = 1
OUTCOME_PARTS = ("times", "ratios", "cases")
_MEND = "Restore it from a copy, or fit the model again."


def save_parts(forecaster: LatentODEForecaster, directory: Path) -> None:
    """Write a fitted forecaster; each file is replaced whole, the config last."""
    from safetensors.numpy import save

    arrays = _predictor_arrays("latent_ode", forecaster.predictor_)
    if forecaster.gru_ is not None:
        arrays |= _predictor_arrays("gru", forecaster.gru_)
    arrays |= _scale_arrays(forecaster.predictor_.scaling, forecaster.table_)
    for index, one in enumerate(forecaster.table_.series):
        arrays |= {f"data.{index:05d}.times": one.times, f"data.{index:05d}.values": one.values}
    weights = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    config = _config(forecaster) | {"sha256": hashlib.sha256(weights).hexdigest()}
    config["config_sha256"] = _digest(config)
    try:
        write_bytes(directory / "weights.safetensors", weights)
        write_bytes(directory / "config.json", json.dumps(config, indent=1).encode())
    except OSError as error:
        raise InputError(
            f"The model can not be written to {directory}: {error.strerror or error}. Make room "
            f"there, or name another folder."
        ) from error


def _config(forecaster: LatentODEForecaster) -> dict[str, Any]:
    predictor, split = forecaster.predictor_, forecaster.split_
    return {
        "format": FORMAT,
        "kind": "LatentODEForecaster",
        "isocline": __version__,
        "jax": jax.__version__,
        "settings": forecaster.settings(),
        "table": forecaster.table_.config(),
        "series": [one.name for one in forecaster.table_.series],
        "periods": list(forecaster.periods_),
        "harmonics": predictor.scaling.harmonics,
        "horizon": forecaster.horizon_,
        "shape": list(predictor.shape),
        "models": ["latent_ode"] if forecaster.gru_ is None else ["latent_ode", "gru"],
        "split": [
            split.train_end,
            split.validation_end,
            [float(origin) for origin in split.origins],
        ],
        "best_epoch": forecaster.best_epoch_,
        "history": forecaster.history_,
        "nfe": forecaster.nfe_,
    }


def _digest(config: dict[str, Any]) -> str:
    """Of all entries of a config but itself, however the file lays them out."""
    entries = {name: value for name, value in config.items() if name != "config_sha256"}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _predictor_arrays(name: str, predictor: Predictor) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves(eqx.filter(predictor.model, eqx.is_array))
    arrays = {f"{name}.{index:03d}": np.asarray(leaf) for index, leaf in enumerate(leaves)}
    outcomes = predictor.calibration
    return arrays | {f"{name}.outcomes.{part}": getattr(outcomes, part) for part in OUTCOME_PARTS}


def _scale_arrays(scaling: Scaling, table: SeriesTable) -> dict[str, np.ndarray]:
    arrays = {}
    for index, one in enumerate(table.series):
        scale = scaling.scale_of(one)
        prefix = f"scale.{index:05d}"
        arrays |= {f"{prefix}.coefficients": scale.coefficients, f"{prefix}.spread": scale.spread}
        arrays |= {f"{prefix}.doubt": scale.doubt}
    return arrays


def load_parts(cls: type[LatentODEForecaster], directory: Path) -> Any:
    """Read a directory that `save_parts` wrote.

    Raises:
        InputError: there is no model, it is damaged, or it was written by a newer version.
    """
    config, arrays = _read(directory)
    try:
        return _rebuild(cls, config, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"The model in {directory} is damaged: its config.json does not fit its weights "
            f"({type(error).__name__}: {error}). Fit it again, or restore both files from a copy."
        ) from error


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    config = _read_config(directory)
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


def _read_config(directory: Path) -> dict[str, Any]:
    file = directory / "config.json"
    try:
        config = json.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"There is no model in {directory}: it has no config.json. Give the folder `model` "
            f"that `isocline forecast --out DIR` wrote, as DIR/model."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The file {file} can not be read: {error}. {_MEND}") from error
    version = config.get("format") if isinstance(config, dict) else None
    if type(version) is not int or version < 1:
        raise InputError(
            f"The file {file} is not one of Isocline's: it names no format version. Give the "
            f"folder `model` that `isocline forecast --out DIR` wrote, as DIR/model."
        )
    if version > FORMAT:
        raise InputError(
            f"The model in {directory} has format {version}, written by Isocline "
            f"{config.get('isocline')}; this is Isocline {__version__}, which reads up to format "
            f"{FORMAT}. Upgrade Isocline to read it."
        )
    # The first models had no such entry.
    if config.get("config_sha256", _digest(config)) != _digest(config):
        raise InputError(
            f"The file {file} is damaged: its checksum is not the one that it holds. {_MEND}"
        )
    return config


def _rebuild(
    cls: type[LatentODEForecaster], config: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Any:
    forecaster = cls(**config["settings"])
    series = tuple(
        Series(name, arrays[f"data.{index:05d}.times"], arrays[f"data.{index:05d}.values"])
        for index, name in enumerate(config["series"])
    )
    forecaster.table_ = SeriesTable.from_config(config["table"]).with_series(series)
    forecaster.horizon_, forecaster.periods_ = config["horizon"], tuple(config["periods"])
    train_end, validation_end, origins = config["split"]
    forecaster.split_ = Split(train_end, validation_end, np.array(origins))
    forecaster.history_, forecaster.best_epoch_ = config["history"], config["best_epoch"]
    forecaster.nfe_ = config["nfe"]
    forecaster.shape_ = Shape(*map(int, config["shape"]))
    forecaster._folder, forecaster._resume, forecaster._progress = None, False, None
    scales = {
        name: SeriesScale(
            *(arrays[f"scale.{index:05d}.{part}"] for part in ("coefficients", "spread", "doubt"))
        )
        for index, name in enumerate(config["series"])
    }
    scaling = Scaling(forecaster.periods_, config["harmonics"], forecaster.horizon_, scales)

    def predictor(kind: str) -> Predictor:
        calibration = Calibration(*(arrays[f"{kind}.outcomes.{part}"] for part in OUTCOME_PARTS))
        model = forecaster._build(kind, len(forecaster.table_.channels), scaling.frequencies)
        return Predictor(_fill(model, kind, arrays), scaling, forecaster.shape_, calibration)

    forecaster.predictor_ = predictor("latent_ode")
    forecaster.gru_ = predictor("gru") if "gru" in config["models"] else None
    return forecaster


def _fill(model: Any, kind: str, arrays: dict[str, np.ndarray]) -> Any:
    dynamic, static = eqx.partition(model, eqx.is_array)
    leaves, treedef = jax.tree.flatten(dynamic)
    kept = [arrays[f"{kind}.{index:03d}"] for index in range(len(leaves))]
    for leaf, array in zip(leaves, kept, strict=True):
        if leaf.shape != array.shape or not np.isfinite(array).all():
            raise ValueError(f"weights of shape {array.shape} for {leaf.shape}, or not finite")
    return eqx.combine(jax.tree.unflatten(treedef, [jnp.asarray(array) for array in kept]), static)
