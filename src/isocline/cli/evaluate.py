"""`isocline evaluate`: a saved model against the baselines, on its own or newer data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .common import Talk, write_table
from .saved import Duplicates, Sort, newer_data, open_model


def evaluate(
    model: Annotated[Path, Parameter(help="Folder of a saved model, DIR/model.")],
    /,
    *,
    data: Annotated[
        str | None, Parameter(help="Other observations to score on, with the same columns.")
    ] = None,
    sort: Sort = False,
    duplicates: Duplicates = "error",
    out: Annotated[
        Path | None, Parameter(help="CSV file for every forecast beside what was observed.")
    ] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Backtest; see `commands.COMMANDS`."""
    from .scores import score_table

    forecaster = open_model(model)
    table = newer_data(forecaster, data, sort=sort, duplicates=duplicates)
    backtest = forecaster.backtest(None if data is None else table)
    if out is not None:
        write_table(out, backtest.frame)
        talk.note(f"Written to {out}: {len(backtest.frame)} rows.")
    metrics = backtest.metrics
    unit = f" {table.axis.unit}" if table.axis.unit else ""
    talk.result(
        {"model_path": str(model), "data": data, **metrics},
        score_table(metrics),
        f"{metrics['windows']} forecasts over {metrics['horizon']:.6g}{unit}, from "
        f"{len(metrics['origins'])} origins, {metrics['origins'][0]} to {metrics['origins'][-1]}",
    )
