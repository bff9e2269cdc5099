"""`isocline evaluate`: a saved model against the baselines, on its own or newer data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from isocline.errors import InputError

from .common import Talk, records, write_noted
from .saved import Duplicates, Sort, newer_data, open_model

if TYPE_CHECKING:
    from isocline.data import SeriesTable
    from isocline.estimators import LatentODEForecaster

_CROSS = Group("Cross-validation", sort_key=1)


def evaluate(
    model: Annotated[Path, Parameter(help="Folder of a saved model, DIR/model.")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(help="Other observations to score on, with the same columns.")
    ] = None,
    sort: Sort = False,
    duplicates: Duplicates = "error",
    cutoffs: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Forecast from these times: dates (numbers) with commas between.",
            consume_multiple=True,
            group=_CROSS,
        ),
    ] = None,
    count: Annotated[
        int | None, Parameter(help="Forecast from so many times, one every --step.", group=_CROSS)
    ] = None,
    step: Annotated[
        str | None, Parameter(help="From one to the next: 90d, 36h; a horizon.", group=_CROSS)
    ] = None,
    horizon: Annotated[
        str | None, Parameter(help="How far from each: 90d, 36h; the model's.", group=_CROSS)
    ] = None,
    refit: Annotated[
        bool, Parameter(help="Fit a fresh model to the rows up to each time.", group=_CROSS)
    ] = False,
    out: Annotated[
        Path | None, Parameter(help="CSV file for every forecast beside what was observed.")
    ] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Backtest; see `commands.COMMANDS`."""
    from .scores import score_table

    forecaster = open_model(model)
    table = newer_data(forecaster, data, sort=sort, duplicates=duplicates)
    if cutoffs or count is not None or step is not None:
        chosen = _cutoffs(table, cutoffs, count, step, horizon) | {"refit": refit}
        _cross_validate(forecaster, table, chosen, (model, data, out), talk)
        return
    if horizon is not None or refit:
        raise InputError(
            "--horizon and --refit belong to --cutoffs, or to --count and --step: say from when to "
            "forecast."
        )
    backtest = forecaster.backtest(None if data is None else table)
    write_noted(out, backtest.frame, talk)
    metrics = backtest.metrics
    unit = f" {table.axis.unit}" if table.axis.unit else ""
    talk.result(
        {"model_path": str(model), "data": data, **metrics},
        score_table(metrics),
        f"{metrics['windows']} forecasts over {metrics['horizon']:.6g}{unit}, from "
        f"{len(metrics['origins'])} origins, {metrics['origins'][0]} to {metrics['origins'][-1]}",
    )


def _cutoffs(
    table: SeriesTable,
    cutoffs: tuple[str, ...] | None,
    count: int | None,
    step: str | None,
    horizon: str | None,
) -> dict[str, Any]:
    """Options as arguments of `cross_validation`."""
    from .sources import length_of

    texts = [text.strip() for entry in cutoffs or () for text in entry.split(",") if text.strip()]
    try:
        if cutoffs:
            table.axis.to_number(texts)
    except InputError as error:
        raise InputError(f"--cutoffs {' '.join(cutoffs or ())}: {error}") from None
    return {
        "cutoffs": texts if cutoffs else None,
        "count": count,
        "step": None if step is None else length_of("--step", step, table),
        "horizon": None if horizon is None else length_of("--horizon", horizon, table),
    }


def _cross_validate(
    forecaster: LatentODEForecaster,
    table: SeriesTable,
    chosen: dict[str, Any],
    places: tuple[Path, str | None, Path | None],
    talk: Talk,
) -> None:
    from .scores import cutoff_tables, score_table

    model, data, out = places
    found = forecaster.cross_validation(None if data is None else table, **chosen)
    write_noted(out, found.frame, talk)
    metrics = found.metrics
    unit = f" {table.axis.unit}" if table.axis.unit else ""
    talk.result(
        {"model_path": str(model), "data": data, **metrics, "scores": records(found.scores)},
        cutoff_tables(found.scores),
        score_table(metrics),
        f"{metrics['windows']} forecasts over {metrics['horizon']:.6g}{unit}, from "
        f"{len(metrics['cutoffs'])} cut-offs"
        + (", a fresh model at each" if metrics["refit"] else ", the weights as they are"),
    )
