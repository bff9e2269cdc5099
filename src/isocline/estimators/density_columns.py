"""Tables that a density is learnt from: read, or refused with column, reason and remedy."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError

ENOUGH = 30  # rows, from which on values that repeat say something
FEW_VALUES = 10
# Up to so many values that repeat so often, in the mean, are categories or rounded.
REPEATED = ((20, 2), (1000, 20))
EXTREME = 1e100  # whose square, or that of one over it, is not far from what a float can hold
ATOM, STANDS_OUT, COPIES = 0.05, 3, 0.2
FEW_COPIES = 0.5  # of few rows, which may be alike by chance
_NEAR_EDGE, _AT_EDGE, _FEWEST_AT_EDGE = 0.01, 0.004, 8
TIMES = (datetime.date, datetime.time, datetime.timedelta)
_CONTEXT_INSTEAD = "Leave it out, or let the density depend on it by context=."


class Table(NamedTuple):
    """Numbers, row by row, and what their columns are called.

    Attributes:
        values: float64.
        names: None for an array, whose columns are counted from 0.
        double: whether they were given in double precision.
    """

    values: Float[np.ndarray, "rows columns"]
    names: tuple[str, ...] | None
    double: bool

    def column(self, index: int) -> str:
        """What a column is called in messages."""
        return column_name(self.names, index)


def column_name(names: Sequence[str] | None, index: int) -> str:
    """What a column is called in messages."""
    return f"Column {index} (counted from 0)" if names is None else f"Column '{names[index]}'"


def read_numbers(data: Any, what: str = "X") -> Table:
    """The numbers of an array or a data frame.

    Raises:
        InputError: no table of numbers, or a number that is not finite; the message names the
            column and the row.
        TypeError: a cell is neither a number nor text.
    """
    frame = frame_of(data, what)
    names: tuple[str, ...] | None = None
    if isinstance(frame, nw.DataFrame):
        # Not by name: the columns of a pandas frame may be called anything.
        series = list(frame.iter_columns())
        columns = [
            _numbers_of(_plain(one, f"Column '{name}'"), f"Column '{name}'")
            for name, one in zip(frame.columns, series)
        ]
        array = np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))
        single = all(one.dtype == nw.Float32 for one in series)
        names = tuple(frame.columns) if all(isinstance(n, str) for n in frame.columns) else None
    else:
        array = _array_of(data, what)
        single = array.dtype in (np.float32, np.float16)
        if array.dtype.kind not in "uif":
            named = enumerate(array.T)
            columns = [_numbers_of(column, column_name(None, index)) for index, column in named]
            array = np.stack(columns, axis=1)
    table = Table(np.asarray(array, np.float64), names, not single)
    _require_finite(table)
    return table


def frame_of(data: Any, what: str) -> Any:
    """A data frame for all libraries alike; what is none stays as it is."""
    try:
        return nw.from_native(data, eager_only=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        names = [str(name) for name in data.columns]
        twice = next((name for name in names if names.count(name) > 1), "?")
        raise InputError(
            f"{what} has more than one column that is called '{twice}': rename or drop one."
        ) from error


def _plain(series: Any, name: str) -> np.ndarray:
    if series.dtype in (nw.Categorical, nw.Enum):
        raise InputError(f"{name} is categorical, and has no density. {_CONTEXT_INSTEAD}")
    return series.to_numpy()


def _array_of(data: Any, what: str) -> np.ndarray:
    if isinstance(data, np.ma.MaskedArray) and data.dtype.kind in "uif":
        data = np.ma.filled(data.astype(np.float64), np.nan)
    if hasattr(data, "tocsr"):
        raise InputError(
            f"{what} is sparse: a density needs all values. Give {what}.toarray() instead."
        )
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise InputError(f"{what} is no table: its rows differ in length ({error}).") from error
    if array.dtype.kind == "c":
        raise InputError(f"Complex data not supported: {what} must hold real numbers.")
    if array.ndim != 2:
        raise InputError(
            f"{what} has shape {array.shape}: (rows, columns) is needed. Reshape your data with "
            f"{what}.reshape(-1, 1) if it is one column, or {what}.reshape(1, -1) if it is one row."
        )
    if not array.shape[1]:
        raise InputError(
            f"{what} has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    return array


def _numbers_of(column: np.ndarray, name: str) -> np.ndarray:
    """A column as numbers; text, truth values and dates are categories or have no density."""
    if column.dtype.kind in "uif":
        return column
    if column.dtype.kind == "b":
        raise InputError(
            f"{name} holds truth values: it is categorical, and has no density. {_CONTEXT_INSTEAD}"
        )
    if column.dtype.kind in "mM" or any(isinstance(cell, TIMES) for cell in column.tolist()):
        raise InputError(
            f"{name} holds dates or times. Give the time since one of them as a number, such as "
            f"days, or leave the column out."
        )
    _require_numbers(column, name)
    return np.array([np.nan if cell is None else float(cell) for cell in column.tolist()])


def _require_numbers(column: np.ndarray, name: str) -> None:
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, str):
            raise InputError(
                f"{name} holds text ({cell!r} in row {row}): it is categorical, and has no "
                f"density. {_CONTEXT_INSTEAD}"
            )
        if cell is not None and not hasattr(cell, "__float__"):
            raise TypeError(
                f"{name} holds {cell!r} in row {row}: the argument must be a string or a number."
            )


def _require_finite(table: Table) -> None:
    bad = np.argwhere(~np.isfinite(table.values))
    if not len(bad):
        return
    row, index = bad[0]
    kind = "NaN" if np.isnan(table.values[row, index]) else "infinity"
    raise InputError(
        f"{table.column(index)} holds {kind} in row {row}, and {len(np.unique(bad[:, 0]))} rows "
        f"are like that (NaN or infinity). Leave them out, or fill the cells."
    )


def require_same_columns(
    table: Table, names: tuple[str, ...] | None, size: int, estimator: str
) -> None:
    """Refuse a table of other columns than those learnt from; warn where names are in doubt."""
    if names is not None and table.names is not None and names != table.names:
        raise InputError(
            "The feature names should match those that were passed during fit. "
            + _difference(table.names, names)
        )
    if table.values.shape[1] != size:
        raise InputError(
            f"X has {table.values.shape[1]} features, but {estimator} is expecting {size} features "
            f"as input."
        )
    if (names is None) != (table.names is None):
        has, was = ("does not have valid", "with") if table.names is None else ("has", "without")
        warnings.warn(
            f"X {has} feature names, but {estimator} was fitted {was} feature names", stacklevel=4
        )


def _difference(found: Sequence[str], wanted: Sequence[str]) -> str:
    """sklearn's words, which its checks ask for."""
    unseen, gone = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    lines = ["Feature names unseen at fit time:", *(f"- {name}" for name in unseen)] * bool(unseen)
    lines += ["Feature names seen at fit time, yet now missing:", *(f"- {n}" for n in gone)] * bool(
        gone
    )
    lines = lines or ["Feature names must be in the same order as they were in fit."]
    return "\n".join(lines) + "\n"


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
    mend = f"{_CONTEXT_INSTEAD} If it was rounded, name it by --dequantize (dequantize=)."
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
