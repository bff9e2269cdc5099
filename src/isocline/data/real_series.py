"""Real time series of many kinds, and a simulated one, to see what a forecaster is good for.

They are built in, or fetched; Covid, measles and the Pacific are tables that were made out of other
formats, and are read from the folder that ISOCLINE_DATA names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from isocline.data.builtin import load
from isocline.data.columns import did_you_mean
from isocline.data.pendulum import FRAMES_A_SECOND, load_double_pendulum
from isocline.data.reading import read_table
from isocline.data.remote import fetch, held_file, load_delhi, load_weekly_nino, unpacked
from isocline.data.table import Columns, Series, SeriesTable, TimeAxis
from isocline.errors import InputError

HOURS = 1440  # of ETTh1: its first sixty days
LAND = -32768
VACCINE = -730.0  # 1968-01-01, in days since 1970-01-01


def load_series(name: str) -> SeriesTable:
    """A table of `names_of_series()`.

    Raises:
        InputError: there is none of that name, or its file is not there.
    """
    if name not in _LOADERS:
        raise InputError(
            f"There are no series '{name}'.{did_you_mean(name, _LOADERS)} There are: "
            f"{', '.join(_LOADERS)}."
        )
    return _LOADERS[name]()


def names_of_series() -> tuple[str, ...]:
    """Names that `load_series` knows."""
    return tuple(_LOADERS)


def simulated_series(
    count: int = 5,
    points: int | tuple[int, int] = 700,
    channels: int = 3,
    *,
    days: int = 1461,
    seed: int = 0,
) -> SeriesTable:
    """Irregular series of correlated channels: a yearly season, a damped oscillator, and noise.

    Args:
        count, channels: how many series and columns.
        points: observations of each series, or the fewest and the most.
        days: from the first possible day to the last; the observed ones are drawn at random.
        seed: of everything random.
    """
    random = np.random.default_rng(seed)
    fewest, most = (points, points) if isinstance(points, int) else points
    path, state = np.empty((days, count, 2)), np.zeros((count, 2))
    drift = np.array([[0.0, -0.08], [0.08, -0.03]])  # a period of about 80 days
    for day in range(days):
        state = state + state @ drift + 0.1 * random.normal(size=(count, 2)) * [0.0, 1.0]
        path[day] = state
    made = []
    for index in range(count):
        chosen = random.choice(days, random.integers(fewest, most + 1), replace=False)
        day = np.sort(chosen)
        season = np.cos(2 * np.pi * (day[:, None] / 365.25 + np.linspace(0, 0.5, channels)))
        mixed = path[day, index] @ random.normal(size=(2, channels))
        values = 10 + 2 * season + mixed + 0.2 * random.normal(size=season.shape)
        made.append(Series(f"series{index:04d}", day.astype(float), values))
    names = tuple(f"channel{index}" for index in range(channels))
    return _table(made, names, TimeAxis("datetime"))


def _table(series: Sequence[Series], channels: Sequence[str], axis: TimeAxis) -> SeriesTable:
    return SeriesTable(
        tuple(series), tuple(channels), axis, Columns("time", "series", tuple(channels))
    )


def _file(place: str) -> Path:
    path = held_file(place)
    if path is None:
        raise InputError(
            f"This set of series is read from {place} in the folder that ISOCLINE_DATA names, and "
            "is not there. Set ISOCLINE_DATA to a folder that holds it."
        )
    return path


def _nino() -> SeriesTable:
    """Weekly temperature of four regions; a third of the weeks of each are deleted at random."""
    whole = load_weekly_nino()
    only = [Series(one.name, one.times, one.values[:, :1]) for one in whole.series]
    return _table(only, ("sst",), whole.axis).thin(1 / 3, seed=0)


def _without_rows(table: SeriesTable, fraction: float, seed: int) -> SeriesTable:
    """The table with a random fraction of the rows of each series deleted, whole."""
    random = np.random.default_rng(seed)
    kept = []
    for one in table.series:
        rows = random.permutation(len(one))[round(fraction * len(one)) :]
        kept.append(one.rows(np.sort(rows)))
    return table.with_series(kept)


def _pendulum() -> SeriesTable:
    """Clips of two seconds of a chaotic double pendulum on video, in seconds; every eighth frame.

    Channels are cosine and sine of the angle of each arm against the vertical. Between two clips of
    a run are four seconds: no clip's end is another's beginning. A third of the points is deleted.
    """
    every, length, apart = 8, 100, 300
    made = []
    for run, angles in enumerate(load_double_pendulum()):
        frames = angles[::every]
        for start in range(0, len(frames) - length + 1, apart):
            clip = frames[start : start + length]
            values = np.stack([np.cos(clip), np.sin(clip)], axis=-1).reshape(length, 4)
            name = f"run{run:02d}at{start * every / FRAMES_A_SECOND:02.0f}s"
            made.append(Series(name, np.arange(length) * every / FRAMES_A_SECOND, values))
    channels = ("cosine1", "sine1", "cosine2", "sine2")
    return _without_rows(_table(made, channels, TimeAxis("number")), 1 / 3, seed=0)


def _hourly() -> SeriesTable:
    """The first sixty days of ETTh1."""
    table = read_table(fetch("ett"), time="date", target=None)
    (one,) = table.series
    return table.with_series([Series(one.name, one.times[:HOURS], one.values[:HOURS])])


def _flu_regions() -> SeriesTable:
    """Weekly counts of ten US regions; the file has no dates, so weeks are counted."""
    counts = np.loadtxt(fetch("flu_regions"), delimiter=",")
    weeks = np.arange(len(counts), dtype=float)
    made = [Series(f"region{k + 1}", weeks, column[:, None]) for k, column in enumerate(counts.T)]
    return _table(made, ("patients",), TimeAxis("number"))


def _illness() -> SeriesTable:
    targets = ("% WEIGHTED ILI", "AGE 0-4", "AGE 5-24", "ILITOTAL")
    return read_table(fetch("illness"), time="date", target=targets)


def _measles() -> SeriesTable:
    """Weekly reports of seven cities of England, from 1948 until there was a vaccine."""
    path = _file("epidemic/measles_pomp/ewcitmeas.csv")
    table = read_table(path, time="date", series="city", target=("reports",)).until(VACCINE)
    # The file counts days since 1970; as dates they may have a season of a year.
    return _table(table.series, table.channels, TimeAxis("datetime"))


def _covid() -> SeriesTable:
    """Italy day by day: new cases, deaths so far (re-issued, so they may fall), in hospital."""
    path = _file("epidemic/covid_italy/italy_national.csv")
    targets = ("nuovi_positivi", "totale_ospedalizzati", "terapia_intensiva")
    return read_table(path, time="data", target=targets)


def _pacific() -> SeriesTable:
    """Monthly anomalies of boxes of 10 by 28 degrees of the tropical Pacific."""
    with np.load(_file("sst/sst_pacific_anom/pacific_sst_anomaly_1970_2003.npz")) as found:
        values, lat = found["anom_milli_degC"], found["lat"]
        months = found["time"].astype("datetime64[D]").astype(float)
        lon = found["lon"]
    kelvin = np.where(values == LAND, np.nan, values / 1000.0)
    made = []
    for south in (-15, -5, 5):
        for west in range(150, 270, 28):
            inside = np.ix_((lat >= south) & (lat < south + 10), (lon >= west) & (lon < west + 28))
            box = kelvin[:, inside[0], inside[1]]
            name = f"{south:+d}N{west}E"
            made.append(Series(name, months, np.nanmean(box, axis=(1, 2))[:, None]))
    return _table(made, ("anomaly",), TimeAxis("datetime"))


def _vowels() -> SeriesTable:
    """270 utterances of 7 to 26 points and 12 coefficients; four of them are the channels."""
    text = unpacked(fetch("vowels").read_bytes()).decode()
    rows = text.split("@data\n", 1)[1].split()
    made = [_utterance(f"utterance{k:03d}", row) for k, row in enumerate(rows)]
    return _table(made, [f"coefficient{k + 1}" for k in range(4)], TimeAxis("number"))


def _utterance(name: str, row: str) -> Series:
    values: Float[np.ndarray, "points channels"] = np.array(
        [[float(cell) for cell in part.split(",")] for part in row.split(":")[:4]]
    ).T
    return Series(name, np.arange(len(values), dtype=float), values)


_LOADERS: MappingProxyType[str, Callable[[], SeriesTable]] = MappingProxyType(
    {
        "sst": lambda: load("sst"),
        "delhi": load_delhi,
        "nino": _nino,
        "flu": _flu_regions,
        "covid": _covid,
        "pacific": _pacific,
        "lynx_hare": lambda: load("lynx_hare"),
        "stocks": lambda: load("stocks"),
        "us_macro": lambda: load("us_macro"),
        "us_employment": lambda: load("us_employment"),
        "sunspots": lambda: load("sunspots"),
        "airline": lambda: load("airline"),
        "co2": lambda: load("co2"),
        "electrical_equipment": lambda: load("electrical_equipment"),
        "nile": lambda: load("nile"),
        "fertility": lambda: load("fertility"),
        "seattle": lambda: load("seattle_weather"),
        "ett": _hourly,
        "illness": _illness,
        "measles": _measles,
        "vowels": _vowels,
        "delhi_gaps": lambda: _without_rows(load_delhi(), 1 / 3, seed=0),
        "pendulum": _pendulum,
        "simulated": simulated_series,
    }
)
