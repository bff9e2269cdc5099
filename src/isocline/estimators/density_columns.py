"""Tables that a density is learnt from: read, or refused with column, reason and remedy."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError

EXTREME = 1e100  # whose square, or that of one over it, is not far from what a float can hold
TIMES = (datetime.date, datetime.time, datetime.timedelta)
CONTEXT_INSTEAD = (
    "Leave it out, or let the density depend on it by --context (in Python: context=)."
)


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


def row_name(index: int) -> str:
    """What a row is called in messages."""
    return f"row {index} (counted from 0)"


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
        raise InputError(f"{name} is categorical, and has no density. {CONTEXT_INSTEAD}")
    return series.to_numpy()


def _array_of(data: Any, what: str) -> np.ndarray:
    data = unmasked(data, what)
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


def unmasked(data: Any, what: str) -> Any:
    """An array whose masked entries are empty cells; what is none stays as it is.

    Raises:
        InputError: it is sparse.
    """
    if hasattr(data, "tocsr"):
        raise InputError(
            f"{what} is sparse: a density needs all values. Give its toarray() instead."
        )
    if not isinstance(data, np.ma.MaskedArray):
        return data
    kind = data.dtype.kind
    if kind in "mMc":  # refused as they are
        return data.data
    numbers = data.dtype if kind == "f" else np.float64
    cells = np.array(data.data, numbers if kind in "uif" else object)
    cells[np.ma.getmaskarray(data)] = np.nan if kind in "uif" else None
    return cells


def _numbers_of(column: np.ndarray, name: str) -> np.ndarray:
    """A column as numbers; text, truth values and dates are categories or have no density."""
    if column.dtype.kind in "uif":
        return column
    if column.dtype.kind == "b":
        raise InputError(
            f"{name} holds truth values: it is categorical, and has no density. {CONTEXT_INSTEAD}"
        )
    if column.dtype.kind in "mM" or any(isinstance(cell, TIMES) for cell in column.tolist()):
        raise InputError(
            f"{name} holds dates or times. Give the time since one of them as a number, such as "
            f"days, or leave the column out."
        )
    _require_numbers(column, name)
    cells = enumerate(column.tolist())
    return np.array([np.nan if cell is None else float_of(cell, name, row) for row, cell in cells])


def float_of(cell: Any, name: str, row: int) -> float:
    """A cell as a number.

    Raises:
        InputError: a whole number that no float can hold.
    """
    try:
        return float(cell)
    except OverflowError as error:
        raise InputError(
            f"{name} holds a number in {row_name(row)} that is too large to compute with: give it "
            f"in other units."
        ) from error


def _require_numbers(column: np.ndarray, name: str) -> None:
    for row, cell in enumerate(column.tolist()):
        if isinstance(cell, str):
            raise InputError(
                f"{name} holds text ({cell!r} in {row_name(row)}): it is categorical, and has no "
                f"density. {CONTEXT_INSTEAD}"
            )
        if cell is not None and not hasattr(cell, "__float__"):
            raise TypeError(
                f"{name} holds {cell!r} in {row_name(row)}: the argument must be a string or a "
                f"number."
            )


def _require_finite(table: Table) -> None:
    bad = np.argwhere(~np.isfinite(table.values))
    if not len(bad):
        return
    row, index = map(int, bad[0])
    kind = "NaN" if np.isnan(table.values[row, index]) else "infinity"
    raise InputError(
        f"{table.column(index)} holds {kind} in {row_name(row)}, and {len(np.unique(bad[:, 0]))} "
        f"rows are like that (NaN or infinity). Leave them out, or fill the cells."
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
