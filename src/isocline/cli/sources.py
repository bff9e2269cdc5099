"""Where tables and times come from: files, built-in names, lists on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable, load, names, parse_horizon, read_table, regular_times
from isocline.data.cells import is_date
from isocline.data.columns import did_you_mean
from isocline.data.reading import read_cells
from isocline.data.times import read_times
from isocline.errors import InputError

from .common import is_there

LARGEST = 1e100
MOST_TIMES = 1_000_000
_SUFFIXES = {".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq"}


def open_table(
    data: str,
    *,
    time: str | None = None,
    series: str | None = None,
    target: Sequence[str] | None = None,
    known: Sequence[str] | None = None,
    past: Sequence[str] | None = None,
    static: Sequence[str] | None = None,
    sort: bool = False,
    duplicates: str = "error",
) -> SeriesTable:
    """The table in a file, or the built-in one of that name.

    Raises:
        InputError: there is neither, or it can not be read.
    """
    beside = {"known": known, "past": past, "static": static}
    if data in names():
        return _builtin(data, beside, time=time, series=series, target=target)
    path = Path(data)
    if not is_there(path) and not path.suffix and len(path.parts) == 1:
        raise InputError(
            f"There is no file '{data}', and no built-in data of that name."
            f"{did_you_mean(data, names())} Built-in are: {', '.join(names())}."
        )
    table = read_table(
        path,
        time=time,
        series=series,
        target=target or None,
        sort=sort,
        duplicates=duplicates,
        **beside,
    )
    _require_moderate(table, path.name)
    return table


def open_future(table: SeriesTable, path: str) -> SeriesTable:
    """The table with the known inputs in a file after its last rows.

    Raises:
        InputError: there is no such file, or it does not fit; see `with_future`.
    """
    from isocline.data.cells import Source
    from isocline.estimators.future import with_future

    return with_future(table, read_cells(Path(path)), Source(Path(path).name))


def covariate_notes(table: SeriesTable) -> list[str]:
    """What the table has beside its channels, a line a kind."""
    titles = {"known": "known ahead", "past": "of the past", "static": "static"}
    return [
        f"{title}: {', '.join(names)}"
        for role, title in titles.items()
        if (names := getattr(table.columns, role))
    ]


def _builtin(data: str, beside: dict[str, Sequence[str] | None], **columns: Any) -> SeriesTable:
    """Built-in data with some of its columns."""
    table = load(data)
    covariates = {name for names in beside.values() for name in names or ()}
    if not covariates:
        return _narrowed(table, data, **columns)
    target = columns["target"] or [name for name in table.channels if name not in covariates]
    _narrowed(table, data, **columns)
    return load(data, target=tuple(target), **beside)


def _require_moderate(table: SeriesTable, name: str) -> None:
    """Refuses values whose squares are no numbers any more: they are marks, not measurements."""
    for one in table.series:
        parts = [(one.times, one.values, table.channels)]
        if (beside := one.covariates) is not None:
            parts.append((one.times, beside.past, table.columns.past))
            parts.append((beside.times, beside.known, table.columns.known))
        for times, values, called in parts:
            rows, columns = np.nonzero(np.abs(values) > LARGEST)
            if len(rows):
                time = table.axis.to_label(times[rows[0]])
                raise InputError(
                    f"The value {values[rows[0], columns[0]]:.3g} in column '{called[columns[0]]}' "
                    f"of {name}, at {time}{f' of series {one.name!r}' if one.name else ''}, is too "
                    f"large to reckon with. If it marks a missing value, leave the cell empty; "
                    f"else give the column in another unit."
                )


def _narrowed(
    table: SeriesTable,
    name: str,
    *,
    time: str | None,
    series: str | None,
    target: Sequence[str] | None,
) -> SeriesTable:
    """Built-in data with some of its channels."""
    for option, asked, there in (
        ("--time", time, table.columns.time),
        ("--series", series, table.columns.series),
    ):
        if asked not in (None, there):
            known = f"is '{there}'" if there else "does not exist"
            raise InputError(
                f"{option} '{asked}': in the built-in data {name} that column {known}."
            )
    if not target:
        return table
    for asked in target:
        if asked not in table.channels:
            raise InputError(
                f"The built-in data {name} has no channel '{asked}'."
                f"{did_you_mean(asked, table.channels)} It has {', '.join(table.channels)}."
            )
    chosen = [table.channels.index(asked) for asked in target]
    kept = tuple(Series(one.name, one.times, one.values[:, chosen]) for one in table.series)
    columns = replace(table.columns, targets=tuple(target))
    return replace(table, series=kept, channels=tuple(target), columns=columns)


def asked_at(table: SeriesTable, at: Sequence[str]) -> dict[str, np.ndarray]:
    """The times asked of each series: from a file, or as listed (commas or spaces between).

    Raises:
        InputError: there is no such file, or a time is not of the kind of the table's.
    """
    texts = [text.strip() for entry in at for text in entry.split(",") if text.strip()]
    if not texts:
        raise InputError("--at names no time. Give a file of times, or dates with commas between.")
    if len(at) == 1 and (is_there(Path(at[0])) or Path(at[0]).suffix.lower() in _SUFFIXES):
        return _from_file(table, Path(at[0]))
    try:
        numbers = np.unique(table.axis.to_number(texts))
    except InputError as error:
        raise InputError(f"--at {' '.join(at)}: {error}") from None
    return {one.name: numbers for one in table.series}


def _from_file(table: SeriesTable, path: Path) -> dict[str, np.ndarray]:
    there = read_cells(path).columns
    time = table.columns.time if table.columns.time in there else None
    series = table.columns.series if table.columns.series in there else None
    ends = {one.name: float(one.times[-1]) for one in table.series}
    found = read_times(path, table.axis, time, series, ends=ends)
    if series is None:
        return dict.fromkeys(ends, found[None])
    return {str(name): times for name, times in found.items()}


def length_of(option: str, text: str, table: SeriesTable) -> float:
    """A length of time that an option asks for, in units of the table's time axis.

    Raises:
        InputError: it is none; the message begins with the option.
    """
    try:
        return parse_horizon(text, table.axis)
    except InputError as error:
        more = " To forecast up to a time, name it by --at." if is_date(text.strip()) else ""
        raise InputError(f"{option} {text}: {error}{more}") from None


def grid_over(table: SeriesTable, horizon: str) -> dict[str, np.ndarray]:
    """Regular times after the end of each series, as far as a horizon in words.

    Raises:
        InputError: the horizon is not a length of time.
    """
    length = length_of("--horizon", horizon, table)
    spacing = table.median_spacing
    if len(table.series) * length / spacing > MOST_TIMES:
        raise InputError(
            f"The horizon {horizon} holds more than {MOST_TIMES} times, one every {spacing:.4g}"
            f"{' ' + table.axis.unit if table.axis.unit else ''}. Give a shorter one, or name the "
            f"times by --at."
        )
    return {one.name: regular_times(float(one.times[-1]), length, spacing) for one in table.series}


def trained_for(
    table: SeriesTable, horizon: str | None, asked: dict[str, np.ndarray] | None
) -> tuple[float | None, str | None]:
    """The horizon to train for (None: let the estimator choose), and a note on it.

    Raises:
        InputError: the horizon is not a length of time, or longer than the data.
    """
    length = None if horizon is None else _horizon(table, horizon)
    if asked is None:
        return length, None
    if length is None:
        # Half of what the data cover: with more, hardly a window could be trained on.
        length = min(_reach(table, asked), table.duration / 2)
    return length, beyond(table, asked, length)


def beyond(table: SeriesTable, asked: dict[str, np.ndarray], horizon: float) -> str | None:
    """A note where times are asked that are later than a model is trained for."""
    reach = _reach(table, asked)
    # The last time of a grid may be beyond by a rounding.
    if reach <= horizon * (1 + 1e-6):
        return None
    unit = f" {table.axis.unit}" if table.axis.unit else ""
    return (
        f"the asked times reach {reach:.4g}{unit} ahead, but the model is trained for "
        f"{horizon:.4g}{unit}: trust later times less"
    )


def _horizon(table: SeriesTable, horizon: str) -> float:
    length = length_of("--horizon", horizon, table)
    if length > table.duration:
        unit = f" {table.axis.unit}" if table.axis.unit else ""
        raise InputError(
            f"The horizon {horizon} is longer than the data, which cover {table.duration:.4g}"
            f"{unit}. Nothing is known about what happens so much later: give a shorter one."
        )
    return length


def _reach(table: SeriesTable, asked: dict[str, np.ndarray]) -> float:
    """How far the asked times lie behind the end of their series, at most."""
    ahead = [
        float(asked[one.name][-1] - one.times[-1]) for one in table.series if one.name in asked
    ]
    return max(ahead)
