"""What a conditional density depends on: numbers are standardised, words become one column each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from jaxtyping import Float

from isocline.errors import InputError

MOST_CATEGORIES = 100


@dataclass(frozen=True)
class Encoding:
    """How a context array becomes numbers.

    Attributes:
        columns: for each column its categories, or mean and spread.
    """

    columns: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, context: Any, rows: int) -> Self:
        """The encoding of a context with one row for each row of X; None has no columns.

        Raises:
            InputError: it has other rows, or holds what can not be read.
        """
        return cls(tuple(map(_described, _columns_of(context, rows))))

    @property
    def size(self) -> int:
        """How many numbers a context is."""
        return sum(len(one.get("categories", (0,))) for one in self.columns)

    def __call__(self, context: Any, rows: int) -> Float[np.ndarray, "rows size"]:
        """The numbers of a context; one row stands for all."""
        columns = _columns_of(context, rows)
        if len(columns) != len(self.columns):
            raise InputError(
                f"The context has {len(columns)} columns, and the model learnt from "
                f"{len(self.columns)}: give context= the same columns"
                f"{' (none)' * (not self.columns)}."
            )
        parts = [_encoded(*pair, index) for index, pair in enumerate(zip(columns, self.columns))]
        return np.concatenate(parts, axis=1) if parts else np.zeros((rows, 0))


def _columns_of(context: Any, rows: int) -> list[np.ndarray]:
    if context is None:
        return []
    frame = nw.from_native(context, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        columns = [frame[name].to_numpy() for name in frame.columns]
    else:
        array = np.asarray(context)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise InputError(
                f"The context has shape {array.shape}: (rows,) or (rows, columns) is needed."
            )
        columns = list(array.T)
    for column in columns:
        if len(column) not in (1, rows):
            raise InputError(
                f"The context has {len(column)} rows: one for each of the {rows} rows is needed, "
                f"or one for all."
            )
    return [np.repeat(column, rows) if len(column) == 1 else column for column in columns]


def _described(column: np.ndarray) -> dict[str, Any]:
    if column.dtype.kind in "uif":
        numbers = _finite(column, 0)
        return {"mean": float(numbers.mean()), "spread": float(numbers.std()) or 1.0}
    categories = sorted({str(cell) for cell in column.tolist()})
    if len(categories) > MOST_CATEGORIES:
        raise InputError(
            f"A context column has {len(categories)} different words, such as {categories[0]!r}: "
            f"at most {MOST_CATEGORIES} are taken. If they are numbers, give them as numbers."
        )
    return {"categories": categories}


def _encoded(column: np.ndarray, one: dict[str, Any], index: int) -> np.ndarray:
    if "categories" not in one:
        if column.dtype.kind not in "uif":
            raise InputError(f"Context column {index} held numbers in fit, and holds text now.")
        return ((_finite(column, index) - one["mean"]) / one["spread"])[:, None]
    words = [str(cell) for cell in column.tolist()]
    unknown = next((word for word in words if word not in one["categories"]), None)
    if unknown is not None:
        raise InputError(
            f"Context column {index} holds {unknown!r}, which was not in fit: known are "
            f"{', '.join(map(repr, one['categories'][:12]))}."
        )
    return np.array([[word == known for known in one["categories"]] for word in words], float)


def _finite(column: np.ndarray, index: int) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        raise InputError(
            f"Context column {index} is not finite ({column[bad[0]]}) in row {bad[0]}; {len(bad)} "
            f"rows are like that. Leave them out, or fill the cells."
        )
    return np.asarray(column, np.float64)
