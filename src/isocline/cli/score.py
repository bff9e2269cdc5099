"""`isocline score`: how likely the rows of a table are, by a density that was learnt before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from isocline.errors import InputError

from .common import Talk, hand_over, require_file
from .saved import model_folder

if TYPE_CHECKING:
    from isocline.estimators import ContinuousFlow

    from .density_table import DensityTable


def score(
    model: Annotated[Path, Parameter(help="Folder of a saved density, DIR/model.")],
    data: Annotated[str, Parameter(help="CSV, TSV or Parquet file with its columns.")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="CSV file to write, instead of the standard output.")
    ] = None,
    talk: Talk = Talk(),  # noqa: B008 - frozen
) -> None:
    """Score rows; see `commands.COMMANDS`."""
    from isocline.estimators import ContinuousFlow

    from .density_table import free_name, whole_frame

    require_file(out)
    flow = ContinuousFlow.load(model_folder(model))
    table = _table_for(flow, model, data)
    scores = flow.score_samples(table.values, context=table.context)
    frame = whole_frame(table)
    frame[free_name("log_density", frame.columns)] = scores
    document = {"model": str(model), "nll": -float(scores.mean())}
    hand_over(out, frame, talk, document, "scores")


def _table_for(flow: ContinuousFlow, model: Path, data: str) -> DensityTable:
    """The columns of a file that a density knows, by the names that it learnt them by."""
    from .density_table import Wanted, read_density_table

    names, context = getattr(flow, "feature_names_in_", None), flow.encoding_.names
    if names is None or (flow.encoding_.columns and context is None):
        raise InputError(
            f"The density in {model} was learnt from an array: its columns have no names, by which "
            f"to find them in {data}. Use ContinuousFlow.load and score_samples in Python."
        )
    context, encoded = context or (), flow.encoding_.columns
    words = frozenset(name for name, one in zip(context, encoded) if "categories" in one)
    return read_density_table(data, Wanted(tuple(names), tuple(context), words, chosen=False))
