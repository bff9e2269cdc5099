"""A fitted forecaster as a config and arrays, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import Series, SeriesTable
from isocline.errors import InputError
from isocline.evaluation.windows import Split

from .building import build_ensemble
from .calibration import Calibration
from .pooling import Pool, rules_for
from .predicting import Predictor
from .preparing import Scaling
from .saving_covariates import (
    covariate_arrays,
    covariate_config,
    covariate_scaling_in,
    covariates_in,
    scale_arrays,
    scales_in,
)
from .storing import filled, leaves_of, read_model, write_model
from .transforms import Transform
from .windows import Shape

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster

OUTCOME_PARTS = ("times", "ratios", "cases", "inner", "channels", "above")
FIRST_PARTS = OUTCOME_PARTS[:3]  # that models of before have
KIND = "LatentODEForecaster"
_SOURCE = "`isocline forecast --out DIR` wrote, as DIR/model"


def save_parts(forecaster: LatentODEForecaster, directory: Path) -> None:
    """Write a fitted forecaster; if that fails, nothing is lost."""
    arrays = _predictor_arrays("latent_ode", forecaster.predictor_)
    if forecaster.gru_ is not None:
        arrays |= _predictor_arrays("gru", forecaster.gru_)
    arrays |= scale_arrays("scale", forecaster.predictor_.scaling, forecaster.table_.series)
    for index, one in enumerate(forecaster.table_.series):
        arrays |= {f"data.{index:05d}.times": one.times, f"data.{index:05d}.values": one.values}
    arrays |= covariate_arrays(forecaster)
    write_model(directory, _config(forecaster), arrays)


def _config(forecaster: LatentODEForecaster) -> dict[str, Any]:
    predictor, split = forecaster.predictor_, forecaster.split_
    return {
        "kind": KIND,
        "settings": forecaster.settings(),
        "table": forecaster.table_.config(),
        "series": [one.name for one in forecaster.table_.series],
        "periods": list(forecaster.periods_),
        "harmonics": predictor.scaling.harmonics,
        "forced": list(forecaster.forced_),
        "beside_level": forecaster.beside_level_,
        "transforms": [one.shift for one in predictor.scaling.transforms],
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
    } | covariate_config(forecaster)


def _predictor_arrays(name: str, predictor: Predictor) -> dict[str, np.ndarray]:
    outcomes = predictor.calibration
    arrays = leaves_of(name, predictor.model) | {
        f"{name}.outcomes.{part}": getattr(outcomes, part) for part in OUTCOME_PARTS
    }
    return arrays if predictor.pool is None else arrays | {f"{name}.pool": predictor.pool.shares}


def load_parts(cls: type[LatentODEForecaster], directory: Path) -> Any:
    """Read a directory that `save_parts` wrote.

    Raises:
        InputError: there is no model, it is damaged, or it was written by a newer version.
    """
    config, arrays = read_model(directory, KIND, _SOURCE)
    try:
        return _rebuild(cls, config, arrays)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"The model in {directory} is damaged: its config.json does not fit its weights "
            f"({type(error).__name__}: {error}). Fit it again, or restore both files from a copy."
        ) from error


def _rebuild(
    cls: type[LatentODEForecaster], config: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Any:
    # Models of before these settings were made without them.
    before = {"anchored": False, "transform": "none", "linear": False}
    forecaster = cls(**before | config["settings"])
    forecaster.calendar = tuple(forecaster.calendar)  # JSON made a list of it
    beside = covariates_in(config, arrays)
    series = tuple(
        Series(name, arrays[f"data.{index:05d}.times"], arrays[f"data.{index:05d}.values"], more)
        for index, (name, more) in enumerate(zip(config["series"], beside, strict=True))
    )
    forecaster.table_ = SeriesTable.from_config(config["table"]).with_series(series)
    forecaster.horizon_, forecaster.periods_ = config["horizon"], tuple(config["periods"])
    forced = config.get("forced", range(len(forecaster.periods_)))
    forecaster.forced_ = tuple(map(int, forced))
    forecaster.beside_level_ = bool(config.get("beside_level", False))
    train_end, validation_end, origins = config["split"]
    forecaster.split_ = Split(train_end, validation_end, np.array(origins))
    forecaster.history_, forecaster.best_epoch_ = config["history"], config["best_epoch"]
    forecaster.nfe_ = config["nfe"]
    forecaster.shape_ = Shape(*map(int, config["shape"]))
    forecaster._folder, forecaster._resume, forecaster._progress = None, False, None
    transforms = tuple(map(Transform, config.get("transforms", ())))
    shared = forecaster.periods_, config["harmonics"], forecaster.horizon_
    scaling = Scaling(*shared, scales_in(arrays, "scale", config["series"]), transforms)
    scaling = replace(scaling, covariates=covariate_scaling_in(config, arrays, forecaster, scaling))

    def predictor(kind: str) -> Predictor:
        kept = {
            part: arrays[f"{kind}.outcomes.{part}"]
            for part in OUTCOME_PARTS
            if part in FIRST_PARTS or f"{kind}.outcomes.{part}" in arrays
        }
        whole = len(kept) == len(OUTCOME_PARTS)
        calibration = Calibration(**kept) if whole else Calibration.of_outer(**kept)
        model = filled(build_ensemble(forecaster, kind, scaling), kind, arrays)
        shares = arrays.get(f"{kind}.pool")
        pool = None
        if shares is not None:
            known = forecaster.table_.until(validation_end)
            rules = rules_for(scaling.periods, forecaster.linear)
            # Models of before the linear rule hold the shares of the only one.
            pool = Pool(shares.reshape(len(rules), -1), rules).fitted(known, scaling)
        return Predictor(model, scaling, forecaster.shape_, calibration, pool)

    forecaster.predictor_ = predictor("latent_ode")
    forecaster.gru_ = predictor("gru") if "gru" in config["models"] else None
    return forecaster
