"""What the columns of a long table hold: names of series, values, and covariates."""

from __future__ import annotations

from collections.abc import Sequence

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float, Int

from isocline.data.cells import Source, parse_numbers, texts_of
from isocline.data.columns import kind_of, without_values
from isocline.errors import InputError

_MEND = (
    "Correct the cell, or leave it empty. Known and past covariates are numbers: 0 and 1 for no "
    "and yes, for instance."
)


def values_of(
    cells: nw.DataFrame, targets: Sequence[str], source: Source
) -> Float[np.ndarray, "rows channels"]:
    """The target columns, NaN where a cell is missing.

    Raises:
        InputError: a cell is no number, or a column has no value at all.
    """
    values = np.stack([parse_numbers(cells[name], source) for name in targets], axis=1)
    silent = np.flatnonzero(np.isnan(values).all(axis=0))
    if len(silent):
        raise InputError(without_values(targets[int(silent[0])], len(values), source))
    return values


def covariates_of(
    cells: nw.DataFrame, columns: Sequence[str], source: Source
) -> Float[np.ndarray, "rows covariates"]:
    """Columns of known or past covariates, as `values_of`."""
    values = np.full((len(cells), len(columns)), np.nan)
    for index, name in enumerate(columns):
        values[:, index] = parse_numbers(cells[name], source, _MEND)
        if np.isnan(values[:, index]).all():
            raise InputError(
                f"Column '{name}' of {source.label} has no value, from {source.row(0)} to "
                f"{source.row(len(cells) - 1)}. Fill it, or do not name it as a covariate."
            )
    return values


def static_of(
    cells: nw.DataFrame,
    columns: Sequence[str],
    series: tuple[tuple[str, ...], Int[np.ndarray, "rows"]],
    source: Source,
) -> tuple[tuple[float | str, ...], ...]:
    """For each series what its rows say in columns that do not change within it.

    Args:
        cells: the table.
        columns: of numbers or of text; missing cells say nothing.
        series: names, and for each row the position of its name.
        source: for messages.

    Raises:
        InputError: a column changes within a series, or says nothing of one.
    """
    found = [_static_column(cells[name], series, source) for name in columns]
    return tuple(zip(*found, strict=True)) if found else ()


def _static_column(
    column: nw.Series, series: tuple[tuple[str, ...], np.ndarray], source: Source
) -> list[float | str]:
    names, codes = series
    numeric = kind_of(column) == "number"
    entries = parse_numbers(column, source) if numeric else np.array(texts_of(column), object)
    said = np.isfinite(entries) if numeric else entries != ""
    values: list[float | str] = []
    for name, mine in zip(names, rows_of(codes, len(names)), strict=True):
        rows = mine[said[mine]]
        of = f" of series '{name}'" if name else ""
        if not len(rows):
            row = int(mine[0])
            raise InputError(
                f"The static column '{column.name}' of {source.label} has no value in the "
                f"rows{of}, the first of which is {source.row(row)}. Fill a cell of it."
            )
        others = rows[entries[rows] != entries[rows[0]]]
        if len(others):
            first, other = int(rows[0]), int(others[0])
            raise InputError(
                f"The static column '{column.name}' of {source.label} changes within the "
                f"rows{of}: it is {entries[first]!s} in {source.row(first)} and "
                f"{entries[other]!s} in {source.row(other)}. Correct the cell; or name the column "
                f"by --known or --past, or the one that tells series apart by --series (in "
                f"Python: known=, past=, series=)."
            )
        values.append(float(entries[rows[0]]) if numeric else str(entries[rows[0]]))
    return values


def rows_of(codes: Int[np.ndarray, "rows"], count: int) -> list[Int[np.ndarray, "part"]]:
    """The rows of each of so many series, in their order."""
    return np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[: count - 1])


def series_of(
    cells: nw.DataFrame, column: str | None, source: Source
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names in order of first appearance, and for each row the position of its name."""
    if column is None:
        return ("",), np.zeros(len(cells), np.int64)
    # Only an empty cell is missing here: "NA" is a fair name (Namibia's, for one).
    null = cells[column].is_null().to_list()
    names = ["" if gone else str(name).strip() for gone, name in zip(null, cells[column].to_list())]
    if "" in names:
        raise InputError(
            f"The name of the series is missing {source.at(column, names.index(''))}. Every row "
            f"needs one: fill the cell, or delete the row."
        )
    order = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return tuple(order), np.array([order[name] for name in names], np.int64)
