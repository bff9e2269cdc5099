"""Saved models, and newer data for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from isocline.errors import InputError

if TYPE_CHECKING:
    from isocline.data import SeriesTable
    from isocline.estimators import LatentODEForecaster

Sort = Annotated[
    bool, Parameter(help="Put rows in order of time, instead of refusing those out of order.")
]
Duplicates = Annotated[
    Literal["error", "mean", "first", "last"],
    Parameter(help="What to make of rows of the same series and time."),
]


def open_model(path: Path) -> LatentODEForecaster:
    """The model in a folder, or in the folder of results around it.

    Raises:
        InputError: there is none, it is damaged, or a newer version wrote it.
    """
    from isocline.estimators import LatentODEForecaster

    folder = model_folder(path)
    if kind_of(folder) == "ContinuousFlow":
        raise InputError(
            f"The model in {folder} is a density, and forecasts nothing: `isocline score` tells "
            f"how likely rows are by it."
        )
    return LatentODEForecaster.load(folder)


def model_folder(path: Path) -> Path:
    """`DIR/model` where `DIR` is a folder of results, else the path itself."""
    inside = path / "model"
    return inside if not is_model(path) and is_model(inside) else path


def is_model(path: Path) -> bool:
    """Whether a folder looks like a saved model, whole or not."""
    try:
        return any((path / name).is_file() for name in ("config.json", "weights.safetensors"))
    except OSError:
        return False


def kind_of(folder: Path) -> str:
    """The name of the estimator whose model a folder holds; empty if that is not told."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    return str(config.get("kind", "")) if isinstance(config, dict) else ""


def newer_data(
    model: LatentODEForecaster, data: str | None, *, sort: bool, duplicates: str
) -> SeriesTable:
    """The table to forecast from: a file with the columns of the model's, or its own data."""
    if data is None:
        return model.table_
    from .sources import open_table

    columns = model.table_.columns.options()
    return open_table(data, **columns, sort=sort, duplicates=duplicates)
