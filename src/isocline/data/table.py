"""The long-format table of irregular time series, and its time axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from isocline.data.covariates import Covariates
from isocline.errors import InputError

if TYPE_CHECKING:
    import pandas
    from narwhals.typing import IntoDataFrame

_MICROSECONDS_A_DAY = 86_400e6


@dataclass(frozen=True, eq=False)
class Series:
    """One time series, observed whenever it was.

    Args:
        name: what the series column calls it; empty where a table has no series column.
        times: strictly increasing, in the units of the table's time axis.
        values: one row a time, one column a channel, in the units of the file. NaN means that
            a channel was not observed then.
        covariates: what is known beside the channels, if anything.

    Raises:
        InputError: the shapes do not fit, or times are not finite and strictly increasing.
    """

    name: str
    times: Float[np.ndarray, "times"]
    values: Float[np.ndarray, "times channels"]
    covariates: Covariates | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", np.asarray(self.times, np.float64))
        object.__setattr__(self, "values", np.asarray(self.values, np.float64))
        if self.values.ndim != 2 or self.times.shape != self.values.shape[:1]:
            raise InputError(
                f"Series '{self.name}' has times of shape {self.times.shape} and values of shape "
                f"{self.values.shape}; they must be (times,) and (times, channels)."
            )
        if not (np.isfinite(self.times).all() and (np.diff(self.times) > 0).all()):
            raise InputError(f"The times of series '{self.name}' must be finite and increasing.")
        if self.covariates is not None and len(self.covariates.past) != len(self.times):
            raise InputError(
                f"Series '{self.name}' has {len(self.times)} times and {len(self.covariates.past)} "
                f"rows of past covariates; there must be one each."
            )

    def __len__(self) -> int:
        return len(self.times)

    def between(self, after: float, until: float) -> Series:
        """The rows with `after < time <= until`."""
        first, last = np.searchsorted(self.times, [after, until], side="right")
        return self.rows(slice(first, last))

    def rows(self, which: slice | np.ndarray, values: np.ndarray | None = None) -> Series:
        """Some of the rows, with their values or others in their place."""
        covariates = None if self.covariates is None else self.covariates.rows(which)
        values = self.values if values is None else values
        return Series(self.name, self.times[which], values[which], covariates)

    @property
    def measured(self) -> Bool[np.ndarray, "times"]:
        """Where any channel was observed."""
        return np.asarray(~np.isnan(self.values).all(axis=1))

    @property
    def observed(self) -> Bool[np.ndarray, "times"]:
        """Where any channel was observed, or any past covariate."""
        seen = self.measured
        return seen if self.covariates is None else seen | self.covariates.observed


@dataclass(frozen=True)
class TimeAxis:
    """How labels of time become numbers, and numbers labels.

    Args:
        kind: `"datetime"` counts days since 1970-01-01 (UTC where there is a time zone);
            `"number"` takes times as they are.
        timezone: name of the zone in which labels are shown; None for wall-clock labels.
    """

    kind: Literal["datetime", "number"]
    timezone: str | None = None

    @property
    def unit(self) -> str:
        """The unit of the numbers: `"days"`, or nothing where times are plain numbers."""
        return "days" if self.kind == "datetime" else ""

    def to_number(self, labels: Any) -> Float[np.ndarray, "times"]:
        """Numbers of labels: datetimes, datetime64, ISO strings or numbers, in any sequence.

        A datetime without a zone is taken as UTC where the axis has a time zone.

        Raises:
            InputError: a label is missing, or not of the axis' kind.
        """
        from isocline.data.cells import Source, parse_time_texts

        cells = np.atleast_1d(np.asarray(labels))
        if cells.dtype.kind in "iuf":
            kind, numbers = "number", cells.astype(np.float64)
        elif cells.dtype.kind == "M":
            kind, numbers = "datetime", cells.astype("datetime64[us]").astype(np.float64)
            numbers[np.isnat(cells)] = np.nan
            numbers /= _MICROSECONDS_A_DAY
        else:
            source = Source("the given times", spreadsheet=None)
            texts = [str(cell).strip() for cell in cells.tolist()]
            found, numbers = parse_time_texts(texts, "time", source)
            kind = found.kind
        if kind != self.kind or not np.isfinite(numbers).all():
            raise InputError(
                f"The given times must be finite {self.kind}s, as those of the table are, but "
                f"they are {kind}s{'' if np.isfinite(numbers).all() else ', some of them missing'}."
            )
        return numbers

    def to_label(self, numbers: Any) -> np.ndarray:
        """Labels of numbers: `datetime64` (UTC), or float64.

        Datetimes are rounded to the second, or to the milli- or microsecond where that is too
        coarse to tell the numbers apart.
        """
        numbers = np.asarray(numbers, np.float64)
        if self.kind == "number":
            return numbers
        for unit, of_a_day in (("s", 86_400), ("ms", 86_400e3), ("us", _MICROSECONDS_A_DAY)):
            counts = np.rint(numbers * of_a_day)
            if unit == "us" or len(np.unique(counts)) == len(np.unique(numbers)):
                break
        return counts.astype(np.int64).astype(f"datetime64[{unit}]")


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a long table that are time, series (if any), targets and covariates.

    Attributes:
        known: inputs that are known ahead of time.
        past: readings that are known up to the time from which a forecast is made.
        static: what holds for a whole series.
    """

    time: str
    series: str | None
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def covariates(self) -> tuple[str, ...]:
        """All covariates."""
        return (*self.known, *self.past, *self.static)

    def options(self) -> dict[str, Any]:
        """Keyword arguments of a reader, to read another table with the same columns."""
        return {
            "time": self.time,
            "series": self.series,
            "target": self.targets,
            "known": self.known,
            "past": self.past,
            "static": self.static,
        }


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """A set of irregular time series with the same channels on the same time axis.

    Args:
        series: the series, in the order in which the file first names them.
        channels: names of the columns of every `Series.values`.
        axis: the time axis.
        columns: where in the file they came from.
        notes: what was guessed or left out while reading, one sentence each.
    """

    series: tuple[Series, ...]
    channels: tuple[str, ...]
    axis: TimeAxis
    columns: Columns
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(
        cls,
        frame: IntoDataFrame,
        *,
        time: str | None = None,
        series: str | None = None,
        target: str | Sequence[str] | None = None,
        known: str | Sequence[str] | None = None,
        past: str | Sequence[str] | None = None,
        static: str | Sequence[str] | None = None,
        sort: bool = False,
        duplicates: str = "error",
    ) -> SeriesTable:
        """The table in a long data frame of pandas, polars or pyarrow.

        Args:
            frame: one row a (series, time), with a time column of datetimes, ISO strings or
                numbers, and number columns. NaN, null, empty and "NA" cells are not observed.
            time, series, target: names of columns; guessed where there is no doubt.
            known, past, static: names of columns of covariates: numbers that are known ahead of
                time (rows after the last target may hold them), numbers that are not, and what does
                not change within a series (numbers or texts). Never guessed.
            sort: put the rows of each series in order of time instead of refusing them.
            duplicates: what to do with rows of the same series and time: `"error"`, `"mean"`,
                `"first"` or `"last"`.

        Raises:
            InputError: says which column and which row (counted from 0), and how to mend it.
        """
        from isocline.data.frames import read_frame

        return read_frame(
            frame,
            time=time,
            series=series,
            target=target,
            known=known,
            past=past,
            static=static,
            sort=sort,
            duplicates=duplicates,
        )

    def to_frame(self) -> pandas.DataFrame:
        """The long pandas frame: series column (if any), time column, one column a channel."""
        import pandas as pd

        # Begun with nothing, so that a table without series has a frame as well.
        numbers, values = [np.empty(0)], [np.empty((0, len(self.channels)))]
        for one in self.series:
            numbers.append(one.times)
            values.append(one.values)
        frame = pd.DataFrame(np.concatenate(values), columns=list(self.channels))
        frame.insert(0, self.columns.time, self.time_column(np.concatenate(numbers)))
        if self.columns.series is not None or len(self.series) > 1:
            names = [one.name for one in self.series for _ in range(len(one))]
            frame.insert(0, self.columns.series or "series", pd.Series(names, dtype="str"))
        return frame

    def time_column(self, numbers: Float[np.ndarray, " rows"]) -> pandas.Series:
        """Times as a column of the kind that was read: numbers, or dates in their time zone."""
        import pandas as pd

        times = pd.Series(self.axis.to_label(numbers))
        if self.axis.timezone is not None:
            times = times.dt.tz_localize("UTC").dt.tz_convert(self.axis.timezone)
        return times

    def with_series(self, series: Sequence[Series]) -> SeriesTable:
        """The same channels and axis around other series, such as forecasts."""
        return replace(self, series=tuple(series))

    def until(self, number: float) -> SeriesTable:
        """The rows with `time <= number`; a series with no such row is left out.

        Raises:
            InputError: no row is that early.
        """
        return self._keep(lambda one: one.between(-np.inf, number), f"no row has time <= {number}")

    def thin(self, fraction: float, seed: int) -> SeriesTable:
        """The table with a random fraction of its observed cells deleted.

        Args:
            fraction: of all observed cells, 0 <= fraction < 1; rounded to a whole number of cells.
            seed: of the random choice; the same seed always deletes the same cells.

        Raises:
            InputError: the fraction is not in [0, 1), or nothing is left.
        """
        if not 0 <= fraction < 1:
            raise InputError(f"The fraction to thin must be at least 0 and below 1: {fraction}.")
        flat = np.concatenate([one.values.ravel() for one in self.series])
        observed = np.flatnonzero(~np.isnan(flat))
        deleted = round(fraction * len(observed))
        flat[np.random.default_rng(seed).choice(observed, deleted, replace=False)] = np.nan
        ends = np.cumsum([one.values.size for one in self.series])[:-1]
        cells = {one.name: part for one, part in zip(self.series, np.split(flat, ends))}

        def keep(one: Series) -> Series:
            thinned = one.rows(slice(None), cells[one.name].reshape(one.values.shape))
            return thinned.rows(thinned.observed)

        return self._keep(keep, f"thinning by {fraction} left no cell")

    def _keep(self, cut: Callable[[Series], Series], complaint: str) -> SeriesTable:
        left = tuple(one for one in map(cut, self.series) if len(one))
        if not left:
            raise InputError(f"The table would be empty: {complaint}.")
        return self.with_series(left)

    @property
    def span(self) -> tuple[float, float]:
        """First and last time of all series, in units of the axis."""
        return (
            float(min(one.times[0] for one in self.series)),
            float(max(one.times[-1] for one in self.series)),
        )

    @property
    def duration(self) -> float:
        """Last minus first time of all series, in units of the axis."""
        first, last = self.span
        return last - first

    @property
    def median_spacing(self) -> float:
        """Median time between a row and the next of its series; NaN if every series has one row."""
        gaps = np.concatenate([np.diff(one.times) for one in self.series])
        return float(np.median(gaps)) if len(gaps) else float("nan")

    def config(self) -> dict[str, Any]:
        """What a saved model needs of the table, ready for JSON."""
        columns = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self.columns).items()
        }
        return {"columns": columns, "channels": list(self.channels), "axis": asdict(self.axis)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeriesTable:
        """The table without series that `config` describes; fill it by `with_series`."""
        columns = config["columns"]
        # The first models know of no covariates.
        beside = [tuple(columns.get(name, ())) for name in ("known", "past", "static")]
        return cls(
            series=(),
            channels=tuple(config["channels"]),
            axis=TimeAxis(**config["axis"]),
            columns=Columns(columns["time"], columns["series"], tuple(columns["targets"]), *beside),
        )
