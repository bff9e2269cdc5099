"""The table that `isocline density` reads: numbers, and what they depend on."""

from __future__ import annotations

from collections.abc import Iterable
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

_WHY = {
    "text": "holds words: it is categorical, and has no density",
    "datetime": "holds dates, which have no density",
    "empty": "is empty",
}


class DensityTable(NamedTuple):
    """Numbers and context, as frames of one kind.

    Attributes:
        values: the columns to learn the density of, as float64.
        context: those that it depends on; None for none.
        source: where they come from, which knows the lines of the file.
    """

    values: nw.DataFrame
    context: nw.DataFrame | None
    source: Source

    def rows(self, places: np.ndarray) -> DensityTable:
        """Some of the rows."""
        chosen = [int(place) for place in places]
        context = None if self.context is None else self.context[chosen]
        return DensityTable(self.values[chosen], context, self.source.some(places))


class Wanted(NamedTuple):
    """Which columns of a file are read.

    Attributes:
        names: whose density is asked about; None for all that are no context.
        context: those that it depends on.
        words: which of these are words; None: those that are not numbers throughout.
        chosen: by options of the command, which a message may advise to change.
    """

    names: tuple[str, ...] | None
    context: tuple[str, ...] = ()
    words: frozenset[str] | None = None
    chosen: bool = True

    @property
    def otherwise(self) -> str:
        """What else can be done about a cell: the end of a sentence."""
        return ", or name other columns by --columns." if self.chosen else "."


def read_density_table(data: str, wanted: Wanted) -> DensityTable:
    """The table in a file.

    Raises:
        InputError: no such file or column, or a cell that is no number; names column and row.
    """
    path = Path(data)
    cells, source = filled_rows(
        nw.from_native(read_cells(path), eager_only=True),
        Source(path.name),
        "Give a table with one row for each observation.",
    )
    wanted = _all_named(wanted, cells, source)
    values = {name: _numbers(cells[name], source, wanted) for name in wanted.names or ()}
    beside = {name: _context(cells[name], source, wanted) for name in wanted.context}
    backend = nw.get_native_namespace(cells)
    frames = [nw.from_dict(one, backend=backend) if one else None for one in (values, beside)]
    return DensityTable(frames[0], frames[1], source)  # pyright: ignore[reportArgumentType]


def whole_frame(table: DensityTable, values: pandas.DataFrame | None = None) -> pandas.DataFrame:
    """Values, the table's own or others for them, and context, side by side."""
    import pandas

    if values is None:
        values = pandas.DataFrame(table.values.to_dict(as_series=False))
    context = {} if table.context is None else table.context.to_dict(as_series=False)
    return values.assign(**context)


def free_name(name: str, taken: Iterable[str]) -> str:
    """A name for a new column that no other has."""
    taken = set(taken)
    while name in taken:
        name += "_"
    return name


def _all_named(wanted: Wanted, cells: nw.DataFrame, source: Source) -> Wanted:
    """With the names of all columns whose density is asked about."""
    context = wanted.context
    for name in (*(wanted.names or ()), *context):
        require_column(name, cells.columns, source)
    both = set(wanted.names or ()) & set(context)
    if both:
        raise InputError(
            f"Column '{min(both)}' is named by --columns and by --context: choose one."
        )
    names = wanted.names or tuple(name for name in cells.columns if name not in context)
    if not names:
        raise InputError(f"All columns of {source.label} are its context: name fewer by --context.")
    return wanted._replace(names=names)


def _numbers(column: nw.Series, source: Source, wanted: Wanted) -> np.ndarray:
    why = _WHY.get(kind_of(column))
    if why is not None:
        rest = ",".join(name for name in wanted.names or () if name != column.name) or "..."
        raise InputError(
            f"Column '{column.name}' of {source.label} {why}."
            + (
                f" Leave it out by --columns {rest}, or let the density depend on it by --context "
                f"{column.name}."
                if wanted.chosen
                else " The density was learnt from numbers there."
            )
        )
    numbers = parse_numbers(
        column, source, mend=f"Correct the cell or delete the row{wanted.otherwise}"
    )
    _refuse_gaps(np.isnan(numbers), column.name, source, wanted)
    return numbers


def _context(column: nw.Series, source: Source, wanted: Wanted) -> np.ndarray:
    if wanted.words is None:
        numeric = kind_of(column) == "number"
    else:
        numeric = column.name not in wanted.words
    if numeric:
        return _numbers(column, source, wanted)
    words = np.array(texts_of(column), object)
    _refuse_gaps(words == "", column.name, source, wanted)
    return words


def _refuse_gaps(gaps: np.ndarray, name: str, source: Source, wanted: Wanted) -> None:
    where = np.flatnonzero(gaps)
    if len(where):
        raise InputError(
            f"There is no value {source.at(name, int(where[0]))}, and {len(where)} cells of the "
            f"column are like that: a density needs whole rows. Fill the cells or delete the rows"
            f"{wanted.otherwise}"
        )
