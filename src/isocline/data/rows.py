"""Rows of a long table become series: in order, without duplicates, long enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from isocline.data.cells import Source
from isocline.data.covariates import Covariates
from isocline.data.table import Series
from isocline.errors import InputError

DUPLICATES = ("error", "mean", "first", "last")


@dataclass(frozen=True, eq=False)
class Rows:
    """Parsed rows of a long table.

    Args:
        names: name of each series, in order of first appearance.
        codes: for each row, which of the names it belongs to.
        times: numbers on the time axis.
        values: of the channels, then of past and of known covariates; NaN where not observed.
        indices: where in the source each row stands, for messages.
        time_column: name of the time column, for messages.
        source: for messages.
        past, known: how many of the values are covariates of these kinds.
        static: what holds for each of the names; nothing where there is no such column.
    """

    names: tuple[str, ...]
    codes: Int[np.ndarray, "rows"]
    times: Float[np.ndarray, "rows"]
    values: Float[np.ndarray, "rows columns"]
    indices: Int[np.ndarray, "rows"]
    time_column: str
    source: Source
    past: int = 0
    known: int = 0
    static: tuple[tuple[float | str, ...], ...] = ()

    def take(self, which: np.ndarray) -> Rows:
        """The rows at these positions (or under this mask), in that order."""
        return replace(
            self,
            codes=self.codes[which],
            times=self.times[which],
            values=self.values[which],
            indices=self.indices[which],
        )

    def of(self, row: int) -> str:
        """` of series 'x'`, or nothing where the table is one series."""
        return f" of series '{self.names[self.codes[row]]}'" if len(self.names) > 1 else ""

    def observed(self, part: Int[np.ndarray, "part"]) -> Int[np.ndarray, "observed"]:
        """Those of some rows that say more than what was known ahead; all without covariates."""
        if not (self.past or self.known):
            return part
        return part[np.isfinite(self.values[part][:, : -self.known or None]).any(axis=1)]

    def series(self, code: int, part: Int[np.ndarray, "part"]) -> Series:
        """The rows of one name as a series."""
        seen = self.observed(part)
        times, values, name = self.times[seen], self.values[seen], self.names[code]
        if not (self.past or self.known or self.static):
            return Series(name, times, values)
        first = values.shape[1] - self.past - self.known
        known = self.values[part, first + self.past :]
        given = np.isfinite(known).any(axis=1)
        covariates = Covariates(
            values[:, first : first + self.past],
            self.times[part[given]],
            known[given],
            self.static[code] if self.static else (),
        )
        return Series(name, times, values[:, :first], covariates)


def to_series(rows: Rows, *, sort: bool, duplicates: str) -> tuple[Series, ...]:
    """The series of the rows, each in increasing order of time.

    Raises:
        InputError: rows out of order (unless `sort`), duplicates (unless a way to merge them is
            given), a series of one row, or one without any value.
    """
    if duplicates not in DUPLICATES:
        raise InputError(
            f"Duplicates can be treated as one of {', '.join(DUPLICATES)}, not '{duplicates}'."
        )
    rows = rows.take(np.argsort(rows.codes, kind="stable"))
    rows = rows.take(np.lexsort((rows.times, rows.codes))) if sort else _in_order(rows)
    rows = _MERGES[duplicates](rows)
    series = []
    for code, part in enumerate(np.split(np.arange(len(rows.times)), _starts(rows)[1:])):
        seen = rows.observed(part)
        if len(seen) == 1:
            alone = rows.source.row(int(rows.indices[seen[0]]))
            whose = f"series '{rows.names[code]}'" if len(rows.names) > 1 else "table"
            raise InputError(
                f"The {whose} has one row only, {alone} of {rows.source.label}, and one row shows "
                f"no change. Give it more rows, or delete that one."
            )
        series.append(rows.series(code, part))
        if np.isnan(series[-1].values).all():
            first, last = (rows.source.row(rows.indices[part].take(end)) for end in (0, -1))
            raise InputError(
                f"The series '{rows.names[code]}' has no observed value in any target column, from "
                f"{first} to {last} of {rows.source.label}. Fill a cell, or delete these rows."
            )
    return tuple(series)


def _starts(rows: Rows) -> Int[np.ndarray, "series"]:
    return np.flatnonzero(np.diff(rows.codes, prepend=-1))


def _in_order(rows: Rows) -> Rows:
    back = (np.diff(rows.times) < 0) & (np.diff(rows.codes) == 0)
    if back.any():
        # The first in the file, not the first of the first series.
        offenders = np.flatnonzero(back) + 1
        row = offenders[np.argmin(rows.indices[offenders])]
        here = rows.source.at(rows.time_column, int(rows.indices[row]))
        before = rows.source.row(int(rows.indices[row - 1]))
        raise InputError(
            f"The times{rows.of(row)} are not in order: the time {here} is earlier than the one in "
            f"{before}. Put the rows in order, or let --sort do it (in Python: sort=True)."
        )
    return rows


def _repeated(rows: Rows) -> np.ndarray:
    """Whether each row has the series and time of the row before."""
    return (np.diff(rows.times, prepend=np.nan) == 0) & (np.diff(rows.codes, prepend=-1) == 0)


def _refuse(rows: Rows) -> Rows:
    repeated = np.flatnonzero(_repeated(rows))
    if len(repeated):
        row = repeated[np.argmin(rows.indices[repeated])]
        first, second = (rows.source.row(index) for index in rows.indices[row - 1 : row + 1])
        raise InputError(
            f"{first.capitalize()} and {second} of {rows.source.label} have the same time in "
            f"column '{rows.time_column}'{rows.of(row)}. Name the column that tells them apart by "
            f"--series, delete one, or let --duplicates mean, first or last choose (in Python: "
            f"duplicates='mean')."
        )
    return rows


def _first(rows: Rows) -> Rows:
    return rows.take(~_repeated(rows))


def _last(rows: Rows) -> Rows:
    return rows.take(np.append(~_repeated(rows)[1:], True))


def _mean(rows: Rows) -> Rows:
    starts = np.flatnonzero(~_repeated(rows))
    observed = ~np.isnan(rows.values)
    count = np.add.reduceat(observed.astype(float), starts)
    total = np.add.reduceat(np.where(observed, rows.values, 0.0), starts)
    with np.errstate(invalid="ignore"):
        return replace(_first(rows), values=total / count)  # 0 / 0: nobody observed it


_MERGES: dict[str, Callable[[Rows], Rows]] = {
    "error": _refuse,
    "mean": _mean,
    "first": _first,
    "last": _last,
}
