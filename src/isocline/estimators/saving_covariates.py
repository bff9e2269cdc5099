"""Scales and covariates of a fitted forecaster as a config and arrays, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from isocline.data import Covariates, Series

from .calendar import Calendar
from .covariates import CovariateScaling, Standard, StaticColumn
from .preparing import Scaling, SeriesScale

if TYPE_CHECKING:
    from .forecaster import LatentODEForecaster

SCALE_PARTS = ("coefficients", "spread", "doubt")
DATA_PARTS = {"past": "past", "known_times": "times", "known": "known"}
NUMBERS = ("hold", "steps", "knots", "cell")


def scale_arrays(prefix: str, scaling: Scaling, series: Sequence[Series]) -> dict[str, np.ndarray]:
    """The scales of these series."""
    return {
        f"{prefix}.{index:05d}.{part}": getattr(scaling.scale_of(one), part)
        for index, one in enumerate(series)
        for part in SCALE_PARTS
    }


def scales_in(
    arrays: dict[str, np.ndarray], prefix: str, names: Sequence[str]
) -> dict[str, SeriesScale]:
    """What `scale_arrays` gave."""
    return {
        name: SeriesScale(*(arrays[f"{prefix}.{index:05d}.{part}"] for part in SCALE_PARTS))
        for index, name in enumerate(names)
    }


def covariate_arrays(forecaster: LatentODEForecaster) -> dict[str, np.ndarray]:
    """The covariates of the data, and how they are scaled; nothing without covariates."""
    scaling = forecaster.predictor_.scaling.covariates
    if scaling is None:
        return {}
    series = forecaster.table_.series
    arrays = {"known.centre": scaling.known.centre, "known.spread": scaling.known.spread}
    if scaling.columns.past:
        arrays |= scale_arrays("past", scaling.past, [_readings(one) for one in series])
    for index, one in enumerate(series):
        if one.covariates is not None:
            arrays |= {
                f"data.{index:05d}.{name}": getattr(one.covariates, part)
                for name, part in DATA_PARTS.items()
            }
    return arrays


def _readings(series: Series) -> Series:
    assert series.covariates is not None
    return Series(series.name, series.times, series.covariates.past)


def covariate_config(forecaster: LatentODEForecaster) -> dict[str, Any]:
    """What JSON can hold of the covariates; nothing without any."""
    scaling = forecaster.predictor_.scaling.covariates
    if scaling is None:
        return {}
    held = [one.covariates for one in forecaster.table_.series]
    return {
        "covariates": {
            "static": [asdict(column) for column in scaling.static],
            "entries": [None if one is None else list(one.static) for one in held],
            **{name: getattr(scaling, name) for name in NUMBERS},
        }
    }


def covariates_in(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> list[Covariates | None]:
    """The covariates of each series."""
    if "covariates" not in config:
        return [None] * len(config["series"])
    found: list[Covariates | None] = []
    for index, static in enumerate(config["covariates"]["entries"]):
        parts = {
            part: arrays[f"data.{index:05d}.{name}"]
            for name, part in DATA_PARTS.items()
            if static is not None
        }
        found.append(None if static is None else Covariates(**parts, static=tuple(static)))
    return found


def covariate_scaling_in(
    config: dict[str, Any],
    arrays: dict[str, np.ndarray],
    forecaster: LatentODEForecaster,
    scaling: Scaling,
) -> CovariateScaling | None:
    """How the covariates are scaled."""
    if "covariates" not in config:
        return None
    kept, table = config["covariates"], forecaster.table_
    names = config["series"] if table.columns.past else []
    return CovariateScaling(
        columns=table.columns,
        horizon=scaling.horizon,
        known=Standard(arrays["known.centre"], arrays["known.spread"]),
        past=replace(scaling, scales=scales_in(arrays, "past", names)),
        static=tuple(
            StaticColumn(**column | {"categories": tuple(column["categories"])})
            for column in kept["static"]
        ),
        calendar=Calendar(tuple(forecaster.calendar), table.axis.timezone),
        **{name: kept[name] for name in NUMBERS},
    )
