"""`isocline predict`: a saved model at new times, from its own or newer data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk, hand_over, require_file
from .saved import Duplicates, Sort, newer_data, open_model

if TYPE_CHECKING:
    import numpy as np

    from isocline.data import SeriesTable


def predict(
    model: Annotated[Path, Parameter(help="Folder of a saved model, DIR/model.")],
    /,
    *,
    at: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Times: a CSV, TSV or Parquet file, or dates (numbers) with commas between.",
            consume_multiple=True,
        ),
    ] = None,
    horizon: Annotated[
        str | None,
        Parameter(
            help="How far, on a regular grid: 90d, 36h, 2w, 6M, 1y, or a number.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    data: Annotated[
        str | None, Parameter(help="Newer observations to forecast from, with the same columns.")
    ] = None,
    future: Annotated[
        str | None,
        Parameter(help="Known inputs after the last observation: a CSV, TSV or Parquet file."),
    ] = None,
    sort: Sort = False,
    duplicates: Duplicates = "error",
    out: Annotated[
        Path | None, Parameter(help="CSV file to write, instead of the standard output.")
    ] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Forecast; see `commands.COMMANDS`."""
    _check(at, horizon, out)
    forecaster = open_model(model)
    table = newer_data(forecaster, data, sort=sort, duplicates=duplicates)
    table = table if future is None else _planned(table, future)
    asked = _asked(table, at, horizon)
    _warn(table, asked, forecaster.horizon_, talk)
    frame = forecaster.predict(asked, data=None if data is future is None else table)
    hand_over(out, frame, talk, {"model": str(model)}, "forecast")


def _check(at: tuple[str, ...] | None, horizon: str | None, out: Path | None) -> None:
    if at and horizon is not None:
        raise InputError("Give --at or --horizon, not both: each says which times are asked.")
    require_file(out)


def _planned(table: SeriesTable, future: str) -> SeriesTable:
    from .sources import open_future

    return open_future(table, future)


def _asked(
    table: SeriesTable, at: tuple[str, ...] | None, horizon: str | None
) -> dict[str, np.ndarray] | None:
    """The times asked of each series; None for as far as the model was trained to."""
    from .sources import asked_at, grid_over

    if at:
        return asked_at(table, at)
    return None if horizon is None else grid_over(table, horizon)


def _warn(
    table: SeriesTable, asked: dict[str, np.ndarray] | None, trained: float, talk: Talk
) -> None:
    from .sources import beyond

    if asked and (note := beyond(table, asked, trained)):
        talk.note(note)
