"""Which columns of a long table are time, series, targets and covariates: asked for, or guessed."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import narwhals.stable.v2 as nw

from isocline.data.cells import Source, is_date, is_number, texts_of
from isocline.data.table import Columns
from isocline.errors import InputError

# fmt: off
TIME_NAMES = frozenset([
    "time", "date", "ds", "timestamp", "t", "month", "datetime", "day", "week", "year", "hour",
    "when", "time_stamp", "date_time",
])
SERIES_NAMES = frozenset([
    "series", "series_id", "id", "unique_id", "station", "station_id", "name", "item", "item_id",
    "region", "location", "site", "country", "state", "city", "sensor", "sensor_id", "device",
    "subject", "subject_id", "patient", "patient_id", "group", "record", "record_id", "key", "box",
    "buoy",
])
# fmt: on
_LOOK_AT = 1000
_MOST_LISTED = 12
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?$")

Kind = Literal["datetime", "number", "text", "empty"]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """` Did you mean 'x'?` where a choice is close to the word, else nothing."""
    names = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f" Did you mean '{names[close[0]]}'?" if close else ""


def choose_columns(
    frame: nw.DataFrame,
    source: Source,
    *,
    time: str | None = None,
    series: str | None = None,
    target: str | Sequence[str] | None = None,
    known: str | Sequence[str] | None = None,
    past: str | Sequence[str] | None = None,
    static: str | Sequence[str] | None = None,
) -> tuple[Columns, tuple[str, ...]]:
    """The columns to use, and notes on what was guessed and what was left out.

    Covariates are never guessed, and a column that is named as one is nothing else by guess.

    Raises:
        InputError: an asked-for column does not exist or has two uses, or a guess is in doubt.
    """
    targets, *beside = map(_names, (target, known, past, static))
    covariates = tuple(name for names in beside for name in names)
    for name in (time, series, *targets, *covariates):
        require_column(name, frame.columns, source)
    guess = _Guess(frame, source, {name: kind_of(frame[name]) for name in frame.columns})
    notes = []
    if time is None:
        time = guess.time({series, *targets, *covariates})
        notes.append(f"time column: '{time}' (guessed)")
    if series is None and (series := guess.series(time, {*targets, *covariates})) is not None:
        notes.append(f"series column: '{series}' (guessed)")
    if not targets:
        targets, left_out = guess.targets({time, series, *covariates})
        notes.append(f"target columns: {_listed(targets)} (guessed)")
        notes.extend(f"column '{name}' is {why}: left out" for name, why in left_out.items())
    _require_distinct((time, series, *targets, *covariates))
    return Columns(time, series, targets, *beside), tuple(notes)


def choose_time(frame: nw.DataFrame, source: Source, series: str | None = None) -> str:
    """The column of times: the only one beside that of the series, or the only one that may be it.

    Raises:
        InputError: none may be, or several.
    """
    rest = [name for name in frame.columns if name != series]
    if len(rest) == 1:
        return rest[0]
    kinds: dict[str, Kind] = {name: kind_of(frame[name]) for name in rest}
    return _Guess(frame, source, kinds).time({series})


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def kind_of(column: nw.Series) -> Kind:
    """What most cells of a column are; the first thousand that are not missing decide."""
    if column.dtype == nw.Datetime or column.dtype == nw.Date:
        return "datetime"
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return "number"
    texts = [text for text in texts_of(column) if text][:_LOOK_AT]
    if not texts:
        return "empty"
    # With decimal commas it is meant to be one: parsing says where, and how to mend it.
    if 2 * sum(is_number(text.replace(",", "")) for text in texts) > len(texts):
        return "number"
    return "datetime" if 2 * sum(map(is_date, texts)) > len(texts) else "text"


@dataclass(frozen=True)
class _Guess:
    frame: nw.DataFrame
    source: Source
    kinds: dict[str, Kind]

    def _of_kind(self, kinds: set[Kind], taken: set[str | None]) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind in kinds and name not in taken]

    def time(self, taken: set[str | None]) -> str:
        """The only column of dates; else the only one that is called like a time."""
        dates = self._of_kind({"datetime"}, taken)
        called = [name for name in dates if name.lower() in TIME_NAMES]
        numbers = self._of_kind({"number"}, taken)
        numbers = [name for name in numbers if name.lower() in TIME_NAMES]
        # A text that is called like a time is one that can not be read: parsing says where.
        texts = [name for name in self._of_kind({"text"}, taken) if name.lower() in TIME_NAMES]
        candidates = (called if len(called) == 1 else dates) or numbers or texts
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise InputError(
                f"{self.source.label} has several columns that may be the time: "
                f"{_listed(candidates)}. Name the right one by --time (in Python: time=)."
            )
        raise InputError(self._without_time())

    def _without_time(self) -> str:
        dated = [name for name in self.frame.columns if _DATE.match(name)]
        if len(dated) > 1:
            return (
                f"{self.source.label} has dates for names of columns ({_listed(dated)}); there "
                f"must be a row for each date. In pandas: frame.melt(id_vars=[the other columns], "
                f"var_name='date')."
            )
        return (
            f"{self.source.label} has no column that looks like a time; its columns are "
            f"{_listed(self.frame.columns)}. Name the time column by --time (in Python: time=; an "
            f"index becomes a column by reset_index())."
        )

    def series(self, time: str, targets: set[str]) -> str | None:
        """The column that is called like a series; else the only text that tells rows apart."""
        taken: set[str | None] = {time, *targets}
        known = [
            name
            for name in self._of_kind({"text", "number"}, taken)
            if name.lower() in SERIES_NAMES and self._repeats(name)
        ]
        if len(known) > 1:
            raise InputError(
                f"{self.source.label} has several columns that may name the series: "
                f"{_listed(known)}. Name the right one by --series (in Python: series=)."
            )
        texts = self._of_kind({"text"}, taken)
        if not known and len(texts) == 1 and self._tells_apart(texts[0], time):
            return texts[0]
        return known[0] if known else None

    def _repeats(self, name: str) -> bool:
        # A counter of rows is no series, whatever it is called.
        column = self.frame[name]
        return len(column) == 1 or column.n_unique() < len(column)

    def _tells_apart(self, name: str, time: str) -> bool:
        # A text such as the kind of weather is no series: times are unique without it.
        unique = self.frame.select(time, name).unique()
        return self.frame[time].n_unique() < len(self.frame) == len(unique)

    def targets(self, taken: set[str | None]) -> tuple[tuple[str, ...], dict[str, str]]:
        """All other columns of numbers, and why each of the rest is left out."""
        numbers = self._of_kind({"number"}, taken)
        targets = tuple(name for name in numbers if name.lower() not in SERIES_NAMES)
        rest = [name for name in self.kinds if name not in {*taken, *targets}]
        for name in rest:
            if self.kinds[name] == "empty":
                # It may have been meant to be a target: there is a doubt.
                raise InputError(without_values(name, len(self.frame), self.source))
        reasons = {
            "text": "text",
            "datetime": "a second time",
            "number": "a label by its name",
        }
        if not targets:
            raise InputError(
                f"{self.source.label} has no column of numbers to forecast; its columns are "
                f"{_listed(self.frame.columns)}. Name the target columns by --target (in Python: "
                f"target=)."
            )
        return targets, {name: reasons[self.kinds[name]] for name in rest}


def require_column(name: str | None, columns: Sequence[str], source: Source) -> None:
    """Refuses a column that is asked for and not there, and suggests the one that was meant."""
    if name is not None and name not in columns:
        raise InputError(
            f"{source.label} has no column '{name}'.{did_you_mean(str(name), columns)} Its columns "
            f"are {_listed(columns)}."
        )


def without_values(name: str, rows: int, source: Source) -> str:
    """What to say of a column that is empty from the first row to the last."""
    return (
        f"Column '{name}' of {source.label} has no observed value, from {source.row(0)} to "
        f"{source.row(rows - 1)}. Fill it, or leave it out by naming the other columns with "
        f"--target (in Python: target=)."
    )


def _require_distinct(columns: Sequence[str | None]) -> None:
    names = [name for name in columns if name is not None]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"Column '{twice[0]}' is asked for twice: --time, --series, --target, --known, --past "
            f"and --static must each name columns of their own."
        )


def _listed(names: Iterable[str]) -> str:
    quoted = [f"'{name}'" for name in names]
    more = len(quoted) - _MOST_LISTED
    return ", ".join(quoted if more <= 1 else [*quoted[:_MOST_LISTED], f"and {more} more"])
