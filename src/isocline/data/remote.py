"""Data sets that Isocline may not ship: found in a folder, in the cache, or downloaded once."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isocline.data.columns import did_you_mean
from isocline.data.reading import read_table
from isocline.data.table import Columns, Series, SeriesTable, TimeAxis
from isocline.errors import InputError

_TIMEOUT_SECONDS = 30
_RAW = "https://raw.githubusercontent.com"
_DELHI = f"{_RAW}/arunmathur27/Step-By-Step-Multivariate-Trend-Forecasting-Using-Prophet"
_DELHI_COMMIT = "9525b07cd4cf32bc5871f30ef58cb4e3b5fa0427"


@dataclass(frozen=True)
class Remote:
    """A file on the web.

    Args:
        url: of one pinned version, as far as the publisher keeps versions.
        sha256: of the content, in hexadecimal; unpacked, if its name ends with ".gz": the same
            content is packed in more than one way. None where nobody who wrote this has seen the
            file: then its loader checks what it reads from it.
        place: path below the folder `ISOCLINE_DATA`, and below the cache.
        licence: in a word, for whoever wants to pass it on.
    """

    url: str
    sha256: str | None
    place: str
    licence: str


# All checksums are of the copies that Isocline was tested with; they were computed from those
# files and not taken from the publishers, who (Kaggle aside) give none.
REGISTRY: dict[str, Remote] = {
    # NOAA now updates wksst9120.for (anomalies against 1991-2020) and left this one in Sep 2020.
    "nino_weekly": Remote(
        "https://www.cpc.ncep.noaa.gov/data/indices/wksst8110.for",
        "ebbfb196ffa2bf8675c78fbd6b4b7c3496290c84a5f519bbdcd4a7ce6e0ff8b6",
        "sst/wksst8110.for",
        "public domain",
    ),
    # Kaggle (sumanthvrao/daily-climate-time-series-data) asks for a login: these are copies of it.
    "delhi_train": Remote(
        f"{_DELHI}/{_DELHI_COMMIT}/DailyDelhiClimateTrain.csv",
        "92d3f8f651e1d323382447cd8dd4e49389a9b396e7d6871b177dde7d07ac630d",
        "weather/DailyDelhiClimateTrain.csv",
        "CC0",
    ),
    "delhi_test": Remote(
        f"{_DELHI}/{_DELHI_COMMIT}/DailyDelhiClimateTest.csv",
        "a185d042f8330b1ec5f03ee819837cb74f7b7c1d0541f2be711170468ec3dd0c",
        "weather/DailyDelhiClimateTest.csv",
        "CC0",
    ),
    "seattle_weather": Remote(
        f"{_RAW}/vega/vega-datasets/v1.29.0/data/seattle-weather.csv",
        "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b",
        "series/seattle_weather/seattle-weather.csv",
        "public domain",
    ),
}
_BENCHMARK = f"{_RAW}/Minqi824/ADBench/f7fed68dea6901fe9a81ed51b251b1d2456790cd"
_UCI = f"{_RAW}/treforevans/uci_datasets/36a67b7e5d4b1c08151a7d044f555f50af16548a"
REGISTRY |= {
    name: Remote(url, checksum, f"tabular/{url.rsplit('/', 1)[1]}", "CC BY 4.0")
    for name, url, checksum in (
        (
            "magic",
            f"{_BENCHMARK}/adbench/datasets/Classical/22_magic.gamma.npz",
            "0be375984d7af9ea7a63b12206c240840d8b7daa3607021c5fb8756407dd86f1",
        ),
        (
            "shuttle",
            f"{_BENCHMARK}/adbench/datasets/Classical/32_shuttle.npz",
            "26900b0f6be45d9ddb7a402c9b2f956ceda42d23a8ca4cf4406b8bc1352823d1",
        ),
        (
            "protein",
            f"{_UCI}/uci_datasets/protein/data.csv.gz",
            "6ccb1a6bf7e7ba40febe2b8226779cb62e4ca2fa4d193bdec8538c6b5f991ec5",
        ),
    )
}
_CHALLENGE = "https://physionet.org/files/challenge-2012/1.0.0"
REGISTRY |= {
    name: Remote(f"{_CHALLENGE}/{file}", None, f"medical/physionet2012/{file}", "ODC-By 1.0")
    for name, file in (
        ("physionet2012_records", "set-a.tar.gz"),
        ("physionet2012_outcomes", "Outcomes-a.txt"),
    )
}
# IBM's archive "double-pendulum-chaotic" holds the videos as well; this is a public copy
# of its tables of the markers alone, a file a run.
_PENDULUM = (
    f"{_RAW}/erwincoumans/tiny-differentiable-simulator/8381b8c9ad7f0a959548e4982eb8a63431a842d2/"
    "data/ibm-double-pendulum/original/dpc_dataset_csv"
)
_PENDULUM_SHA256 = (
    "0c02780291f4d19c1e92ad45c0f8e958ae15413def5834b98dd4c6935ad3adbd",
    "11bc145e34c0745a71881ec48089cda43da2171ee3e4081ba24d335acbfa1f2e",
    "94d326951762fd133a549a4c8b2de81c97d330e6dbe997407b8b367d7a73c3bd",
    "3d8e91f8e52cee26de41ae32081aabd9e2463ad423a59e9714d78bb402f48547",
    "8c20addd10d5ab78df894927ec4ae1a278eaf56d96b1ed3ed49dcbea076217ae",
    "dbd310a7e512d46b7e9e0d16b932d965746ef46685055fb5031f6ecfa094c465",
    "79e0a9b415fa6e4e59ce016f2f6fcee759a9a9491d58ffde6e73303eab3f506e",
    "c16496123e485c4d29d8c62a761e7d889d89a38acb638ee43f087e6ff300df3e",
    "2ef747e2ba1cf8f31af766a3905632e6efd0e65dd95aca08fdfb546ce8ce38d0",
    "a32078daa3b914f510dfd5645ad7ca655ac4a736f2423a41606e6030e623427b",
    "a7042a4efde78b017fcab37defa73624efd92f8bacf1a87085044ccd9b3fdcde",
    "3e33ed1cc0cd81afd90e4738c51f1801ce4885439b138febf7909578a30b858c",
    "ccdde6af4e65200389a85480b3a34c183cef5affff4a11f43d81cc565d64fded",
    "a16d1fbb7da0c8a13a154d75da78f2863ea7aeb32408804537a1f36bf7e8cc44",
    "bdaaad2e81d70b2cfe9759f4a934153cfd0ac2e8c7d59572e4558c6c80f5840d",
    "fd93d1a5bf03b9fd3876c3dcf7cda45f3faefd1b7d1e5fa3f1a5ad103915f891",
    "8698d6df71114b8b15ff2c90b501167baf77072347bd716dbe7f1b472161f4a6",
    "90347861a2e574935c1cab0ed377cea1196645901aec0484ebdc6e60b13660c8",
    "980201de83bc13ea932b996e0151060131dbe964aabe4dc7d71fc9dfabb84a72",
    "5615a0ef2371527a9275986488c30dc180f30ea4011b7d2e6085c07d4d8a849f",
    "a89ead7ed464e28c04370de80d2011e78c4f213154d37c928cd8a9b4184a6101",
)
REGISTRY |= {
    f"double_pendulum_{run:02d}": Remote(
        f"{_PENDULUM}/{run}.csv", checksum, f"physics/double_pendulum/{run}.csv", "CDLA-Sharing 1.0"
    )
    for run, checksum in enumerate(_PENDULUM_SHA256)
}
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_IDX = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
_IDX_SHA256 = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
REGISTRY |= {
    f"{name}_{part}": Remote(f"{site}/{file}", checksum, f"{name}/{file}", licence)
    for name, site, licence in (
        ("mnist", _MNIST, "CC BY-SA 3.0"),
        ("fashion_mnist", _FASHION, "MIT"),
    )
    for (part, file), checksum in zip(_IDX.items(), _IDX_SHA256[name], strict=True)
}


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
