"""A long data frame becomes a `SeriesTable`: one way for files and for frames in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import narwhals.stable.v2 as nw
import numpy as np

from isocline.data.cells import Source, parse_times, suspected_dates
from isocline.data.columns import choose_columns
from isocline.data.contents import covariates_of, series_of, static_of, values_of
from isocline.data.rows import Rows, to_series
from isocline.data.table import SeriesTable
from isocline.errors import InputError

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

IN_MEMORY = Source("the data frame", spreadsheet=False)


def read_frame(
    frame: IntoDataFrame,
    source: Source = IN_MEMORY,
    *,
    time: str | None = None,
    series: str | None = None,
    target: str | Sequence[str] | None = None,
    known: str | Sequence[str] | None = None,
    past: str | Sequence[str] | None = None,
    static: str | Sequence[str] | None = None,
    sort: bool = False,
    duplicates: str = "error",
) -> SeriesTable:
    """The table in a long data frame; see `SeriesTable.from_frame`.

    Raises:
        InputError: the frame is no frame or is empty, or any fault of its cells.
    """
    cells, source = filled_rows(as_frame(frame), source)
    columns, notes = choose_columns(
        cells,
        source,
        time=time,
        series=series,
        target=target,
        known=known,
        past=past,
        static=static,
    )
    axis, times = parse_times(cells[columns.time], source)
    names, codes = series_of(cells, columns.series, source)
    rows = Rows(
        names=names,
        codes=codes,
        times=times,
        values=np.concatenate(
            [
                values_of(cells, columns.targets, source),
                covariates_of(cells, (*columns.past, *columns.known), source),
            ],
            axis=1,
        ),
        indices=np.arange(len(times)),
        time_column=columns.time,
        source=source,
        past=len(columns.past),
        known=len(columns.known),
        static=static_of(cells, columns.static, (names, codes), source),
    )
    split = to_series(rows, sort=sort, duplicates=duplicates)
    if axis.kind == "number":
        notes += suspected_dates(times, columns.time)
    return SeriesTable(split, columns.targets, axis, columns, notes)


def as_frame(frame: IntoDataFrame) -> nw.DataFrame:
    """A frame of any library as one of narwhals; InputError if it is none, or names repeat."""
    names = list(getattr(frame, "columns", ()))
    odd = [name for name in names if not isinstance(name, str) or names.count(name) > 1]
    if odd:
        raise InputError(
            f"The data frame has the column name {odd[0]!r}. Every column needs a name of its own, "
            f"and names must be text."
        )
    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError:
        raise InputError(
            f"A {type(frame).__name__} is not a data frame. Give a long data frame of pandas, "
            f"polars or pyarrow, with a time column and number columns."
        ) from None


_LONG = "Give a long table with one row for every time (and series)."


def filled_rows(
    frame: nw.DataFrame, source: Source, mend: str = _LONG
) -> tuple[nw.DataFrame, Source]:
    """The frame without its blank rows (spreadsheets leave some), and their places.

    Args:
        frame: as it was read.
        source: where it comes from.
        mend: what to do about a frame without rows.

    Raises:
        InputError: it has none.
    """
    blank = nw.all_horizontal(nw.all().is_null(), ignore_nulls=False)
    # A frame without columns has no rows either; it can not be asked for blank ones.
    filled = ~frame.select(blank=blank)["blank"] if frame.columns else None
    if filled is None or not filled.any():
        raise InputError(f"{source.label} has no rows below its header. {mend}")
    places = np.flatnonzero(filled.to_numpy())
    if len(places) == len(frame):
        return frame, source
    return frame.filter(filled), source.some(places)
