"""Data sets that Isocline may not ship: found in a folder, in the cache, or downloaded once."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from isocline.data.columns import did_you_mean
from isocline.data.reading import read_table
from isocline.data.registry import REGISTRY, Remote
from isocline.data.table import Columns, Series, SeriesTable, TimeAxis
from isocline.errors import InputError

_TIMEOUT_SECONDS = 30


def fetch(name: str) -> Path:
    """Path of a file of `REGISTRY`: in `ISOCLINE_DATA`, else in the cache, else downloaded there.

    The cache is `ISOCLINE_CACHE`, or `isocline` in the user's cache folder.

    Raises:
        InputError: no such name; no connection (the message says what to put where by hand); or
            a file with another content than expected.
    """
    if name not in REGISTRY:
        raise InputError(
            f"There is no remote data set '{name}'.{did_you_mean(name, REGISTRY)} There are: "
            f"{', '.join(REGISTRY)}."
        )
    remote = REGISTRY[name]
    places = [folder / remote.place for folder in (*data_folders(), cache_folder())]
    for path in places:
        if path.is_file():
            return _checked(path, remote)
    return _download(remote, places[-1])


def cache_folder() -> Path:
    """Where downloads are kept."""
    if "ISOCLINE_CACHE" in os.environ:
        return Path(os.environ["ISOCLINE_CACHE"])
    if os.name == "nt" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "isocline"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "isocline"


def data_folders() -> tuple[Path, ...]:
    """The folder that `ISOCLINE_DATA` names, if it names one."""
    folder = os.environ.get("ISOCLINE_DATA")
    return (Path(folder),) if folder else ()


def held_file(place: str) -> Path | None:
    """The file at a path below the folder that `ISOCLINE_DATA` names, if there is one."""
    paths = (folder / place for folder in data_folders())
    return next((path for path in paths if path.is_file()), None)


def unpacked(content: bytes) -> bytes:
    """The content of a file that may be packed by gzip."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _sha256(content: bytes, name: str) -> str:
    """The checksum of a file's content; of one that can not be unpacked, as it is."""
    if name.endswith(".gz"):
        with contextlib.suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(content)
    return hashlib.sha256(content).hexdigest()


def _checked(path: Path, remote: Remote) -> Path:
    found = _sha256(path.read_bytes(), path.name) if remote.sha256 else None
    if found != remote.sha256:
        raise InputError(
            f"{path} is not the file that Isocline knows: its SHA-256 is {found}, and should be "
            f"{remote.sha256}. Delete it, to have it downloaded again from {remote.url}."
        )
    return path


def _download(remote: Remote, path: Path) -> Path:
    try:
        with urllib.request.urlopen(remote.url, timeout=_TIMEOUT_SECONDS) as answer:
            content = answer.read()
    except (urllib.error.URLError, OSError) as error:
        known = f" (SHA-256 {remote.sha256})" if remote.sha256 else ""
        raise InputError(
            f"{remote.url} cannot be downloaded ({getattr(error, 'reason', error)}). Download it "
            f"by other means{known} and put it at {path}, or at {remote.place} "
            f"in a folder that the environment variable ISOCLINE_DATA names."
        ) from None
    found = _sha256(content, path.name) if remote.sha256 else None
    if found != remote.sha256:
        raise InputError(
            f"{remote.url} has changed: the SHA-256 of its content is {found}, and should be "
            f"{remote.sha256}. Find the older version, and put it at {path}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Under another name first: a reader never sees half a file.
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
    return path


def load_weekly_nino(path: str | Path | None = None) -> SeriesTable:
    """Weekly sea-surface temperature of the Nino regions, as NOAA's CPC writes it.

    Args:
        path: a file in the format of `wksst8110.for`; fetched if not given.

    Returns:
        Series `nino12`, `nino3`, `nino34`, `nino4` with the channels `sst` and `ssta` (its anomaly
        against the file's base years), both in deg C.

    Raises:
        InputError: a row is not in the format; names the file and the row.
    """
    path = Path(path) if path is not None else fetch("nino_weekly")
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line[1:3].isdigit()]
    if not rows:
        raise InputError(
            f"{path.name} has no row such as ' 03JAN1990     23.4-0.4 ...': it is not a weekly SST "
            f"file of NOAA's Climate Prediction Center."
        )
    parsed = [_nino_row(line, number, path.name) for number, line in rows]
    times = np.array([time for time, _ in parsed])
    values = np.array([numbers for _, numbers in parsed])
    regions = ("nino12", "nino3", "nino34", "nino4")
    channels = ("sst", "ssta")
    series = tuple(Series(region, times, values[:, place]) for place, region in enumerate(regions))
    columns = Columns("time", "series", channels)
    return SeriesTable(series, channels, TimeAxis("datetime"), columns)


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def _nino_row(line: str, number: int, name: str) -> tuple[float, list[list[float]]]:
    # Fixed width, since a negative anomaly touches the temperature: `23.4-0.4`. Not by strptime,
    # whose names of months depend on the locale.
    try:
        month = _MONTHS.index(line[3:6].upper()) + 1
        day = np.datetime64(f"{line[6:10]}-{month:02}-{line[1:3]}").astype(int)
        starts = (11, 24, 37, 50)
        cells = [[float(line[at : at + 8]), float(line[at + 8 : at + 12])] for at in starts]
    except (ValueError, IndexError):
        raise InputError(
            f"Row {number} of {name} is not in the format of NOAA's weekly SST: '{line.strip()}'. "
            f"Download the file again."
        ) from None
    return float(day), cells


PRESSURE_RANGE = (950.0, 1050.0)


def load_delhi(*paths: str | Path) -> SeriesTable:
    """Daily climate of Delhi, 2013-01-01 to 2017-04-24.

    Some pressures of the published files are impossible (-3 to 7,679 hPa): those outside
    `PRESSURE_RANGE` are taken as not observed, and a note says how many. The last day of the
    training file is the first of the test file; of the two, the one named last is kept.

    Args:
        paths: of the training and the test file, in this order; fetched if not given.

    Returns:
        One series with `meantemp` (deg C), `humidity` (%), `wind_speed` (km/h) and
        `meanpressure` (hPa).

    Raises:
        InputError: a file is not there or has faulty cells.
    """
    import polars

    from isocline.data.cells import Source
    from isocline.data.frames import read_frame
    from isocline.data.reading import read_cells

    files = [Path(path) for path in paths] or [fetch("delhi_train"), fetch("delhi_test")]
    targets = ("meantemp", "humidity", "wind_speed", "meanpressure")
    for path in files:
        read_table(path, time="date", target=targets)  # for faults of cells, by their file and row
    table = read_frame(
        polars.concat([read_cells(path) for path in files]),
        Source("the Delhi files, joined"),
        time="date",
        target=targets,
        duplicates="last",
    )
    (only,) = table.series
    pressure = only.values[:, -1]
    impossible = (pressure < PRESSURE_RANGE[0]) | (pressure > PRESSURE_RANGE[1])
    pressure[impossible] = np.nan
    note = f"{impossible.sum()} impossible pressures are taken as not observed"
    return SeriesTable((only,), table.channels, table.axis, table.columns, (*table.notes, note))
