"""What a conditional density depends on: numbers are standardised, words become one column each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError

from .density_columns import EXTREME, TIMES, float_of, frame_of, row_name, unmasked

MOST_CATEGORIES = 100


class Column(NamedTuple):
    """One column of a context.

    Attributes:
        title: what it is called in messages.
        cells: numbers, words or truth values.
    """

    title: str
    cells: np.ndarray


@dataclass(frozen=True)
class Encoding:
    """How a context array becomes numbers.

    Attributes:
        columns: for each column its categories, or mean and spread.
        names: of the columns, if it was a data frame.
    """

    columns: tuple[dict[str, Any], ...]
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, context: Any, rows: int) -> Self:
        """The encoding of a context with one row for each row of X; None has no columns.

        Raises:
            InputError: it has other rows, or holds what can not be read.
        """
        columns, names = _columns_of(context)
        _require_rows(columns, (rows,))
        return cls(tuple(map(_described, columns)), names)

    @property
    def size(self) -> int:
        """How many numbers a context is."""
        return sum(len(one.get("categories", (0,))) for one in self.columns)

    def __call__(self, context: Any, rows: int) -> Float[np.ndarray, "rows size"]:
        """The numbers of a context; one row stands for all.

        Raises:
            InputError: it has other columns or rows than it should, or holds what can not be read.
        """
        columns, names = _columns_of(context)
        if len(columns) != len(self.columns):
            raise InputError(
                f"The context has {len(columns)} columns, and the model learnt from "
                f"{len(self.columns)}: give context= the same columns"
                f"{' (none)' * (not self.columns)}."
            )
        if None not in (names, self.names) and names != self.names:
            raise InputError(
                f"The context has the columns {', '.join(names or ())}, and the model learnt from "
                f"{', '.join(self.names or ())}: give these, in this order."
            )
        _require_rows(columns, (1, rows))
        parts = [_encoded(*pair) for pair in zip(columns, self.columns)]
        wide = [np.repeat(part, rows, axis=0) if len(part) == 1 else part for part in parts]
        return np.concatenate(wide, axis=1) if wide else np.zeros((rows, 0))


def _columns_of(context: Any) -> tuple[list[Column], tuple[str, ...] | None]:
    """The columns of a context, and their names if it has some."""
    if context is None:
        return [], None
    frame = frame_of(context, "The context")
    if isinstance(frame, nw.DataFrame):
        names = tuple(map(str, frame.columns))
        titles = [f"Context column '{name}'" for name in names]
        arrays = [one.to_numpy() for one in frame.iter_columns()]
        return list(map(_read, titles, arrays)), names
    array = _array_of(context)
    titles = [f"Context column {index}" for index in range(array.shape[1])]
    return list(map(_read, titles, array.T)), None


def _array_of(context: Any) -> np.ndarray:
    context = unmasked(context, "The context")
    # As objects, so that numbers beside words stay numbers.
    array = context if isinstance(context, np.ndarray) else np.array(context, object)
    if array.ndim == 1 and any(isinstance(cell, (list, tuple, np.ndarray)) for cell in array):
        raise InputError("The context is no table: its rows are needed equally long.")
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2:
        raise InputError(
            f"The context has shape {array.shape}: (rows,) or (rows, columns) is needed."
        )
    return array


def _read(title: str, cells: np.ndarray) -> Column:
    """A column of numbers or of words, without gaps."""
    if cells.dtype.kind in "uif":
        return Column(title, cells)
    listed = cells.tolist()
    _require_no_times(title, cells, listed)
    empty = [row for row, cell in enumerate(listed) if _is_empty(cell)]
    if empty:
        raise InputError(
            f"{title} is empty in {row_name(empty[0])}; {len(empty)} rows are like that. Leave "
            f"them out, or fill the cells."
        )
    numbers = [isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in listed]
    if listed and all(numbers):
        values = [float_of(cell, title, row) for row, cell in enumerate(listed)]
        return Column(title, np.array(values))
    if any(numbers):
        raise InputError(
            f"{title} holds numbers and words ({listed[numbers.index(True)]!r} and "
            f"{listed[numbers.index(False)]!r}): make it one or the other."
        )
    return Column(title, cells)


def _require_no_times(title: str, cells: np.ndarray, listed: list[Any]) -> None:
    """Refuse dates, which would be words, and complex numbers."""
    if cells.dtype.kind in "mM" or any(isinstance(cell, TIMES) for cell in listed):
        raise InputError(
            f"{title} holds dates or times. Give the time since one of them as a number, such as "
            f"days."
        )
    if any(isinstance(cell, complex) for cell in listed):
        raise InputError(f"{title} holds complex numbers: give their parts as columns.")


def _is_empty(cell: Any) -> bool:
    """None, NaN, and the NA and NaT of pandas, which are not equal to themselves or say nothing."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float) and np.isnan(cell)


def _require_rows(columns: list[Column], counts: tuple[int, ...]) -> None:
    for column in columns:
        if len(column.cells) not in counts:
            instead = ", or one for all" if 1 in counts[:-1] else ""
            raise InputError(
                f"The context has {len(column.cells)} rows: one for each of the {counts[-1]} rows "
                f"is needed{instead}."
            )


def _described(column: Column) -> dict[str, Any]:
    if column.cells.dtype.kind in "uif":
        numbers = _finite(column)
        size = np.abs(numbers).max()
        if size > EXTREME:
            raise InputError(
                f"{column.title} holds values as large as {size:.3g}, which can not be computed "
                f"with: give it in other units."
            )
        return {"mean": float(numbers.mean()), "spread": float(numbers.std()) or 1.0}
    categories = sorted({str(cell) for cell in column.cells.tolist()})
    if len(categories) > MOST_CATEGORIES:
        raise InputError(
            f"{column.title} has {len(categories)} different words, such as {categories[0]!r}: at "
            f"most {MOST_CATEGORIES} are taken. If they are numbers, give them as numbers."
        )
    return {"categories": categories}


def _encoded(column: Column, one: dict[str, Any]) -> np.ndarray:
    are_numbers = column.cells.dtype.kind in "uif"
    if "categories" not in one:
        if not are_numbers:
            raise InputError(f"{column.title} held numbers in fit, and holds text now.")
        return ((_finite(column) - one["mean"]) / one["spread"])[:, None]
    words = [str(cell) for cell in column.cells.tolist()]
    unknown = next((word for word in words if word not in one["categories"]), None)
    if unknown is not None:
        raise InputError(
            f"{column.title} holds {unknown!r}, which was not in fit: known are "
            f"{', '.join(map(repr, one['categories'][:12]))}."
        )
    return np.array([[word == known for known in one["categories"]] for word in words], float)


def _finite(column: Column) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(column.cells))
    if len(bad):
        raise InputError(
            f"{column.title} is not finite ({column.cells[bad[0]]}) in {row_name(bad[0])}; "
            f"{len(bad)} rows are like that. Leave them out, or fill the cells."
        )
    return np.asarray(column.cells, np.float64)
