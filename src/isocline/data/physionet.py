"""The PhysioNet/CinC Challenge 2012 (set A): 4,000 stays in intensive care, and who died.

The publisher's files are a tar of one text file a stay, with rows `00:07,HR,73` of time, parameter
and value, and a table of outcomes. `ISOCLINE_DATA` may hold the same as two NumPy archives.
"""

from __future__ import annotations

import hashlib
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from isocline.data.remote import data_folders, fetch
from isocline.errors import InputError

DESCRIPTORS = ("Age", "Gender", "Height", "ICUType")  # given once, at the beginning
SERIES = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "DiasABP",
    "FiO2", "GCS", "Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "MAP", "MechVent", "Mg",
    "NIDiasABP", "NIMAP", "NISysABP", "Na", "PaCO2", "PaO2", "Platelets", "RespRate", "SaO2",
    "SysABP", "Temp", "TroponinI", "TroponinT", "Urine", "WBC", "Weight", "pH",
)  # fmt: skip
VARIABLES = DESCRIPTORS + SERIES
MISSING = -1.0  # what the challenge writes for a descriptor or a weight that is not known
_MAY_BE_MISSING = (*DESCRIPTORS, "Weight")
_HEADER, _OUTCOME = "Time,Parameter,Value", "In-hospital_death"
_STAYS, _DEATHS = 4000, 554
# Of the content, read from a copy in a public repository, file by file and as the archives; all
# rows of 3,996 stays are the same in a second copy, but for the ICUType that it leaves out.
_CONTENT = "1f721fe8e5af9e6b525f6967f3e260f3b0728a697103f9d97c211249d16040ea"
_FOLDER = "medical/physionet2012"


class Stays(NamedTuple):
    """Stays in intensive care, as one long list of observations.

    Attributes:
        records: the challenge's number of each stay.
        start: the observations of stay i are `start[i]` to `start[i + 1]`, by time.
        minutes: since admission, 0 to 2,880.
        variable: position in `VARIABLES`.
        values: in the challenge's units; what it marks as not known is left out.
        died: in hospital.
    """

    records: Int[np.ndarray, " stays"]
    start: Int[np.ndarray, " stays_and_one"]
    minutes: Int[np.ndarray, " observations"]
    variable: Int[np.ndarray, " observations"]
    values: Float[np.ndarray, " observations"]
    died: Bool[np.ndarray, " stays"]

    def first(self, count: int | None) -> Stays:
        """The first so many of them; all if None."""
        count = len(self.records) if count is None else count
        start = self.start[: count + 1]
        last = start[-1]
        return self._replace(
            records=self.records[:count],
            start=start,
            minutes=self.minutes[:last],
            variable=self.variable[:last],
            values=self.values[:last],
            died=self.died[:count],
        )


def load_physionet(records: str | Path | None = None, outcomes: str | Path | None = None) -> Stays:
    """The stays of set A.

    Args:
        records: `set-a.tar.gz` or another tar of the challenge. If not given: the archives below
            `ISOCLINE_DATA`, else the publisher's files, downloaded once.
        outcomes: `Outcomes-a.txt`, or the table that belongs to the records.

    Returns:
        The stays by their number. The first observations of a stay are its descriptors.

    Raises:
        InputError: a file is not there or not in the challenge's format (names file and row), or
            it is not set A that was downloaded.
    """
    if (records is None) != (outcomes is None):
        raise InputError("Give both the records and their outcomes, or neither.")
    if records is not None and outcomes is not None:
        return _read_challenge(Path(records), Path(outcomes))
    archives = [
        path for folder in data_folders() for path in sorted((folder / _FOLDER).glob("*.npz"))
    ]
    if archives:
        return _checked(_read_archives(archives))
    return _checked(
        _read_challenge(fetch("physionet2012_records"), fetch("physionet2012_outcomes"))
    )


def _checked(stays: Stays) -> Stays:
    """The same, if it is set A as far as can be told."""
    found = len(stays.records), int(stays.died.sum())
    if found != (_STAYS, _DEATHS):
        raise InputError(
            f"This is not set A of the challenge, which has {_STAYS} stays with {_DEATHS} deaths: "
            f"there are {found[0]} with {found[1]}. Get its files again."
        )
    if digest_of_stays(stays) != _CONTENT:
        warnings.warn(
            "The stays of PhysioNet 2012 differ from those that Isocline was tested with, though "
            "not in their number: results may differ a little.",
            stacklevel=3,
        )
    return stays


def digest_of_stays(stays: Stays) -> str:
    """SHA-256 of everything in it, whatever file it came from."""
    digest = hashlib.sha256()
    for part, kind in zip(stays, ("<i4", "<i4", "<i2", "u1", "<f4", "u1"), strict=True):
        digest.update(np.ascontiguousarray(part, kind).tobytes())
    return digest.hexdigest()


def _stays(records: list, found: list[np.ndarray], died: dict[int, bool], where: str) -> Stays:
    """Sorted by record, and within it by time and variable."""
    missing = [record for record in records if record not in died]
    if missing:
        raise InputError(
            f"{where} has no outcome of stay {missing[0]}: give the table that belongs to the "
            f"records."
        )
    order = np.argsort(records)
    rows = [found[index] for index in order]
    # Ties keep the order of the file: a variable may be written twice in a minute.
    rows = [one[np.lexsort((one[:, 1], one[:, 0]))] for one in rows]
    joined = np.concatenate(rows)
    ids = np.array(records)[order]
    return Stays(
        records=ids,
        start=np.concatenate([[0], np.cumsum([len(one) for one in rows])]),
        minutes=joined[:, 0].astype(np.int32),
        variable=joined[:, 1].astype(np.int32),
        values=joined[:, 2].astype(np.float32),
        died=np.array([died[record] for record in ids.tolist()]),
    )


def _known(rows: Float[np.ndarray, "rows 3"]) -> Float[np.ndarray, "rows 3"]:
    """Rows (minute, variable, value) without those that say that something is not known."""
    positions = [VARIABLES.index(name) for name in _MAY_BE_MISSING]
    return rows[~(np.isin(rows[:, 1], positions) & (rows[:, 2] == MISSING))]


def _read_archives(paths: list[Path]) -> Stays:
    """Archives of `ptr, t_min, var, value` of the series, and `static` of the descriptors."""
    records, found, died = [], [], {}
    for path in paths:
        with np.load(path, allow_pickle=False) as archive:
            kept = {name: archive[name] for name in archive.files}
        position = np.array([VARIABLES.index(name) for name in kept["var_names"]])
        columns = kept["t_min"], position[kept["var"]], kept["value"]
        rows = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
        once = [list(kept["static_names"]).index(name) for name in DESCRIPTORS]
        for index, record in enumerate(kept["record_id"].tolist()):
            first = [[0.0, place, kept["static"][index, at]] for place, at in enumerate(once)]
            own = rows[kept["ptr"][index] : kept["ptr"][index + 1]]
            records.append(record)
            found.append(_known(np.concatenate([np.array(first, np.float64), own])))
            died[record] = bool(kept["in_hospital_death"][index])
    return _stays(records, found, died, paths[0].name)


def _read_challenge(records: Path, outcomes: Path) -> Stays:
    numbers, found = [], []
    for name, text in _texts(records):
        number, rows = _read_stay(text, name)
        numbers.append(number)
        found.append(_known(rows))
    if not numbers:
        raise InputError(f"{records} holds no text file of a stay: it is not the challenge's tar.")
    return _stays(numbers, found, _read_outcomes(outcomes), outcomes.name)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Name and content of the text files of a tar; nothing is unpacked to disk."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member) if member.name.endswith(".txt") else None
                if file is not None:
                    yield Path(member.name).name, file.read().decode("ascii", "replace")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is not a whole tar file ({error}). Get it again.") from error


def _read_stay(text: str, name: str) -> tuple[int, Float[np.ndarray, "rows 3"]]:
    """The number of a stay, and its rows (minute, variable, value)."""
    lines = text.split()
    if not lines or lines[0] != _HEADER:
        raise InputError(f"{name} does not begin with '{_HEADER}': it is no file of the challenge.")
    place = {variable: index for index, variable in enumerate(VARIABLES)}
    number, rows = None, []
    for row, line in enumerate(lines[1:], start=2):
        try:
            clock, parameter, value = line.split(",")
            hours, minutes = clock.split(":")
            if parameter == "RecordID":
                number = int(value)
            elif parameter:  # a few rows of the challenge name no parameter
                rows.append((60 * int(hours) + int(minutes), place[parameter], float(value)))
        except (ValueError, KeyError):
            raise InputError(
                f"Row {row} of {name} is not in the challenge's format: '{line}', where "
                f"'00:07,HR,73' would be. Get the file again."
            ) from None
    if number is None:
        raise InputError(f"{name} has no row with its RecordID.")
    return number, np.array(rows, np.float64).reshape(-1, 3)


def _read_outcomes(path: Path) -> dict[int, bool]:
    """Whether each stay ended in death, by its number."""
    lines = path.read_text(encoding="ascii", errors="replace").split()
    header = lines[0].split(",") if lines else []
    if header[:1] != ["RecordID"] or _OUTCOME not in header:
        raise InputError(
            f"{path.name} has no columns RecordID and {_OUTCOME}: it is no table of outcomes of "
            f"the challenge."
        )
    column = header.index(_OUTCOME)
    died = {}
    for row, line in enumerate(lines[1:], start=2):
        cells = line.split(",")
        try:
            died[int(cells[0])] = {"0": False, "1": True}[cells[column]]
        except (ValueError, KeyError, IndexError):
            raise InputError(f"Row {row} of {path.name} says no outcome: '{line}'.") from None
    return died
