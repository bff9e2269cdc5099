"""Data of any kind as a table, new data as the fitted table is, and some series of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable
from isocline.errors import InputError

from .future import require_past

MOST_SERIES = 200


def as_table(data: Any, **columns: Any) -> SeriesTable:
    """Data as a table, whatever it came as.

    Raises:
        InputError: covariates are named of a table that was read without them.
    """
    if not isinstance(data, SeriesTable):
        return SeriesTable.from_frame(data, **columns)
    for role in ("known", "past", "static"):
        names = columns.get(role) or ()
        names = (names,) if isinstance(names, str) else tuple(names)
        if names and names != getattr(data.columns, role):
            raise InputError(
                f"{role}={names!r} is not what the SeriesTable was read with. Name covariates "
                f"there: SeriesTable.from_frame(frame, {role}={names!r})."
            )
    return data


def table_like(fitted: SeriesTable, data: Any) -> SeriesTable:
    """New data with the columns of a fitted table.

    Raises:
        InputError: channels, covariates or kind of time are not those of the fitted table.
    """
    columns = fitted.columns
    table = data if isinstance(data, SeriesTable) else as_table(data, **columns.options())
    if table.channels != fitted.channels or table.axis.kind != fitted.axis.kind:
        raise InputError(
            f"The data has channels {', '.join(table.channels)} on a {table.axis.kind} time "
            f"axis, but the model was fitted to {', '.join(fitted.channels)} on a "
            f"{fitted.axis.kind} one."
        )
    for role in ("known", "past", "static"):
        found, wanted = getattr(table.columns, role), getattr(columns, role)
        if found != wanted:
            raise InputError(
                f"The data has the {role} covariates {_listed(found)}, but the model was fitted "
                f"with {_listed(wanted)}. Read it with the same ones."
            )
    require_past(table)
    return table


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def some_series(table: SeriesTable, most: int = MOST_SERIES) -> list[Series]:
    """At most so many, evenly: more say little more of what they have in common."""
    count = len(table.series)
    places = np.linspace(0, count - 1, min(count, most)).astype(int)
    return [table.series[k] for k in np.unique(places)]
