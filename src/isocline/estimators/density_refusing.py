"""Tables that no density describes, refused with column, reason and remedy."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from isocline.errors import InputError

from .density_columns import CONTEXT_INSTEAD, EXTREME, Table

ENOUGH = 30  # rows, from which on values that repeat say something
FEW_VALUES = 10
# Up to so many values that repeat so often, in the mean, are categories or rounded.
REPEATED = ((20, 2), (1000, 20))
ATOM, STANDS_OUT, COPIES = 0.05, 3, 0.2
FEW_COPIES = 0.5  # of few rows, which may be alike by chance
_NEAR_EDGE, _AT_EDGE, _FEWEST_AT_EDGE = 0.01, 0.004, 8


def require_density(
    table: Table, bounded: dict[int, tuple[float | None, float | None]], accepted: bool
) -> None:
    """Refuse a table that no density describes.

    Args:
        table: to learn from.
        bounded: the columns whose bounds are known, and need not be looked for.
        accepted: take edges and values that repeat as they are.

    Raises:
        InputError: says which column, why, and how to mend it.
    """
    rows, size = table.values.shape
    if rows < size + 2:
        raise InputError(
            f"There {'is 1 sample' if rows == 1 else f'are {rows} samples'} of {size} columns "
            f"(n_samples={rows}): a density needs more rows than columns, {size + 2} at least. "
            f"Give more rows, or fewer columns."
        )
    for index in range(size):
        _require_spread(table, index)
    if accepted:
        return
    if rows >= ENOUGH:
        _require_no_atoms(table, bounded)
    else:
        _require_few_copies(rows, len(np.unique(table.values, axis=0)), FEW_COPIES)


def _require_no_atoms(table: Table, bounded: Collection[int]) -> None:
    """Refuse columns and rows that repeat, and columns that end at once."""
    rows, size = table.values.shape
    different = len(np.unique(table.values, axis=0))
    # Where no column repeats more than the rows do, the rows are the reason, else the column is.
    if size > 1 and all(len(np.unique(column)) == different for column in table.values.T):
        _require_few_copies(rows, different)
    for index in range(size):
        _require_continuous(table, index)
        if index not in bounded:
            _require_no_edge(table, index)
    _require_few_copies(rows, different)


def _require_few_copies(rows: int, different: int, share: float = COPIES) -> None:
    copies = rows - different
    if copies > share * rows:
        raise InputError(
            f"{copies} of {rows} rows are duplicates of others: where rows repeat there is no "
            f"density. Drop the duplicates, or name rounded columns by --dequantize (in Python: "
            f"dequantize=)."
        )


def _require_spread(table: Table, index: int) -> None:
    values = table.values[:, index]
    size = np.abs(values).max()
    if size and not 1 / EXTREME < size < EXTREME:
        raise InputError(
            f"{table.column(index)} holds values as {'large' if size > 1 else 'small'} as "
            f"{size:.3g}, which can not be computed with: give it in other units."
        )
    spread = values.std()
    if spread <= 1e-7 * size or not spread:
        raise InputError(
            f"{table.column(index)} is constant ({values[0]:g} in all {len(values)} rows, as far "
            f"as its precision tells): it has no density. Leave it out."
        )


def _require_continuous(table: Table, index: int) -> None:
    values, rows = table.values[:, index], len(table.values)
    found, counts = np.unique(values, return_counts=True)
    most = counts.argmax()
    mend = f"{CONTEXT_INSTEAD} If it was rounded, name it by --dequantize (in Python: dequantize=)."
    few = len(found) <= FEW_VALUES
    if few or any(len(found) <= levels and rows > times * len(found) for levels, times in REPEATED):
        raise InputError(
            f"{table.column(index)} takes only {len(found)} values "
            f"({', '.join(f'{value:g}' for value in found[:5])}{', ...' * (len(found) > 5)}): it "
            f"is categorical{' or rounded' * (not few)}, and has no density. {mend}"
        )
    second = np.sort(counts)[-2]
    if counts[most] > max(ATOM * rows, STANDS_OUT * second):
        where = {0: "its lower bound ", len(found) - 1: "its upper bound "}.get(int(most), "")
        raise InputError(
            f"{table.column(index)} is {where}{found[most]:g} in {100 * counts[most] / rows:.0f} % "
            f"of the rows: a value of its own weight has no density. Learn from the other rows, "
            f"or leave the column out. {'It may be bounded there. ' if where else ''}If it was "
            f"rounded, name it by --dequantize (in Python: dequantize=)."
        )


def _require_no_edge(table: Table, index: int) -> None:
    """Refuse a column whose density ends at once: a flow would lay some beyond."""
    values = table.values[:, index]
    low, high = np.quantile(values, (0.1, 0.9))
    near = _NEAR_EDGE * (high - low)
    edges = values.min(), values.max()
    counts = np.sum(values <= edges[0] + near), np.sum(values >= edges[1] - near)
    sharp = [count > max(_AT_EDGE * len(values), _FEWEST_AT_EDGE) for count in counts]
    if not any(sharp):
        return
    key = index if table.names is None else table.names[index]
    ends = [f"{end:.6g}" if there else "" for end, there in zip(_beyond(*edges), sharp)]
    pair = ", ".join(end or "None" for end in ends)
    sides = " and ".join(
        f"{side} by about {edge:.6g}"
        for side, edge, there in zip(("below", "above"), edges, sharp)
        if there
    )
    raise InputError(
        f"{table.column(index)} seems to be bounded {sides}, where "
        f"{100 * max(counts) / len(values):.1f} % of its values crowd: a flow is smooth, and would "
        f"give weight to what lies beyond. Name its true bounds to transform it, such as --bounds "
        f"{key}={':'.join(ends)} (in Python: bounds={{{key!r}: ({pair})}}), or take it as it is by "
        f"--accept (accept=True)."
    )


def _beyond(low: float, high: float) -> tuple[float, float]:
    """Round numbers just outside of two values, between which all of a column lies."""
    step = 10.0 ** (np.floor(np.log10(high - low)) - 2)
    return (np.ceil(low / step) - 1) * step, (np.floor(high / step) + 1) * step
