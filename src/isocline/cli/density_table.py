"""The table that `isocline density` reads: numbers, and what they depend on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from isocline.data.cells import Source, parse_numbers, texts_of
from isocline.data.columns import kind_of, require_column
from isocline.data.frames import filled_rows
from isocline.data.reading import read_cells
from isocline.errors import InputError

if TYPE_CHECKING:
    import pandas

    from .density_settings import DensitySettings

_WHY = {
    "text": "holds words: it is categorical, and has no density",
    "datetime": "holds dates, which have no density",
    "empty": "is empty",
}
_MEND = "Correct the cell, delete the row, or name other columns by --columns."


class DensityTable(NamedTuple):
    """Numbers and context, as frames of one kind.

    Attributes:
        values: the columns to learn the density of, as float64.
        context: those that it depends on; None for none.
    """

    values: nw.DataFrame
    context: nw.DataFrame | None

    def rows(self, places: np.ndarray) -> DensityTable:
        """Some of the rows."""
        chosen = [int(place) for place in places]
        context = None if self.context is None else self.context[chosen]
        return DensityTable(self.values[chosen], context)


def read_density_table(settings: DensitySettings) -> DensityTable:
    """The table in a file.

    Raises:
        InputError: no such file or column, or a cell that is no number; names column and row.
    """
    path = Path(settings.data)
    cells, source = filled_rows(
        nw.from_native(read_cells(path), eager_only=True), Source(path.name)
    )
    names, context = _chosen(settings, cells, source)
    values = {name: _numbers(cells[name], source, others=names) for name in names}
    beside = {name: _context(cells[name], source) for name in context}
    backend = nw.get_native_namespace(cells)
    frames = [nw.from_dict(one, backend=backend) if one else None for one in (values, beside)]
    return DensityTable(frames[0], frames[1])  # pyright: ignore[reportArgumentType]


def whole_frame(table: DensityTable, values: pandas.DataFrame | None = None) -> pandas.DataFrame:
    """Values, the table's own or others for them, and context, side by side."""
    import pandas

    if values is None:
        values = pandas.DataFrame(table.values.to_dict(as_series=False))
    context = {} if table.context is None else table.context.to_dict(as_series=False)
    return values.assign(**context)


def _chosen(
    settings: DensitySettings, cells: nw.DataFrame, source: Source
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns whose density is learnt, and those that it depends on."""
    context = settings.context or ()
    for name in (*(settings.columns or ()), *context):
        require_column(name, cells.columns, source)
    both = set(settings.columns or ()) & set(context)
    if both:
        raise InputError(
            f"Column '{min(both)}' is named by --columns and by --context: choose one."
        )
    names = settings.columns or tuple(name for name in cells.columns if name not in context)
    if not names:
        raise InputError(f"All columns of {source.label} are its context: name fewer by --context.")
    return names, context


def _numbers(column: nw.Series, source: Source, others: tuple[str, ...]) -> np.ndarray:
    why = _WHY.get(kind_of(column))
    if why is not None:
        rest = ",".join(name for name in others if name != column.name) or "..."
        raise InputError(
            f"Column '{column.name}' of {source.label} {why}. Leave it out by --columns {rest}, or "
            f"let the density depend on it by --context {column.name}."
        )
    numbers = parse_numbers(column, source, mend=_MEND)
    _refuse_gaps(np.isnan(numbers), column.name, source)
    return numbers


def _context(column: nw.Series, source: Source) -> np.ndarray:
    if kind_of(column) == "number":
        return _numbers(column, source, ())
    words = np.array(texts_of(column), object)
    _refuse_gaps(words == "", column.name, source)
    return words


def _refuse_gaps(gaps: np.ndarray, name: str, source: Source) -> None:
    where = np.flatnonzero(gaps)
    if len(where):
        raise InputError(
            f"There is no value {source.at(name, int(where[0]))}, and {len(where)} cells of the "
            f"column are like that: a density needs whole rows. Fill the cells, delete the rows, "
            f"or name other columns by --columns."
        )
