"""The folder of results: written aside, then put in place, so that a failed run loses nothing.

Results are written to `.new`. When all is there, `.new` is renamed to `.ready`, which is the moment
of truth: from then on the new result counts, and what a killed process did not move is moved by the
next run.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isocline.errors import InputError

from .settings import ForecastSettings

RESULTS = (
    "forecast.csv",
    "metrics.json",
    "backtest.csv",
    "model",
    "report.html",
    "config.toml",
)
CHECKPOINTS = "checkpoints"
_NEW, _READY, _OLD, _EARLIER = ".new", ".ready", ".old", ".earlier"
_LIST = ".list"


@dataclass(frozen=True)
class Layout:
    """What a command leaves in its folder.

    Attributes:
        header: how its config.toml begins.
        results: the names of its files and folders.
    """

    header: str
    results: tuple[str, ...]


FORECAST = Layout(ForecastSettings.header, RESULTS)


def again_by(command: str, out: Path, flags: dict[str, bool]) -> str:
    """The command line that goes on with a run: flags are those that were given."""
    words = ["isocline", command, "--out", str(out), "--resume"]
    return shlex.join([*words, *(flag for flag, wanted in flags.items() if wanted)])


class ResultFolder:
    """A folder that holds one result of a command, and nothing else.

    Args:
        path: of the folder; it is made if there is none.
        force: take a folder that holds other files as well; they stay.
        layout: of the command.

    Raises:
        InputError: the folder is a file, can not be written, or holds foreign files.
    """

    def __init__(self, path: Path, *, force: bool = False, layout: Layout = FORECAST) -> None:
        self.path, self.layout = path, layout
        if path.exists() and not path.is_dir():
            raise InputError(f"The output {path} is a file. Name a folder by --out.")
        foreign = _foreign(path, layout)
        if foreign and not force:
            raise InputError(
                f"The output folder {path} holds files that are not results of Isocline: "
                f"{', '.join(foreign[:5])}{', ...' if len(foreign) > 5 else ''}. Name another "
                f"folder by --out, or give --force to write there all the same: other files stay, "
                f"but {', '.join(layout.results)} are replaced."
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / f".probe.{os.getpid()}"
            probe.touch()
            probe.unlink()
            self._settle()
        except OSError as error:
            raise InputError(
                f"The output folder {path} can not be written: {error.strerror or error}. Name "
                f"another one by --out."
            ) from None

    @property
    def checkpoints(self) -> Path:
        """Where the state of training is kept."""
        return self.path / CHECKPOINTS

    def put_checkpoints_aside(self) -> bool:
        """Keep the checkpoints of an earlier run until this one is done; whether there were any."""
        earlier = self.path / _EARLIER
        if not any(self.checkpoints.glob("*.safetensors")):
            return False
        shutil.rmtree(earlier, ignore_errors=True)
        self.checkpoints.rename(earlier)
        return True

    def take_checkpoints_back(self) -> bool:
        """Have those of the earlier run in place again; whether there were any."""
        earlier = self.path / _EARLIER
        if not earlier.is_dir():
            return False
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        earlier.rename(self.checkpoints)
        return True

    def drop_earlier_checkpoints(self) -> None:
        """What the earlier run had kept is not needed any more."""
        shutil.rmtree(self.path / _EARLIER, ignore_errors=True)

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A new folder for the results; they replace the old ones if the block ends well."""
        new = self.path / _NEW
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            yield new
            (new / _LIST).write_text("\n".join(sorted(entry.name for entry in new.iterdir())))
            for file in new.rglob("*"):
                _flush(file)
            new.rename(self.path / _READY)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        self._settle()

    def _settle(self) -> None:
        """Put a complete new result in the place of the old one."""
        ready, old = self.path / _READY, self.path / _OLD
        if not ready.is_dir():
            shutil.rmtree(old, ignore_errors=True)
            return
        listed = (ready / _LIST).read_text().split()
        for name in self.layout.results:
            place = self.path / name
            if (ready / name).exists():
                if place.is_dir():
                    # A file is replaced by the rename; a folder has to go first.
                    shutil.rmtree(old, ignore_errors=True)
                    place.rename(old)
                (ready / name).rename(place)
            elif name not in listed:
                # What the new result does not have must not stay behind from the old one.
                shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        # Removed under another name: half removed it would pass for a result that waits.
        shutil.rmtree(old, ignore_errors=True)
        ready.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _foreign(path: Path, layout: Layout) -> list[str]:
    """Names in the folder that no run of ours has put there."""
    if not path.is_dir():
        return []
    names = {entry.name for entry in path.iterdir() if not entry.name.startswith(".")}
    # A lone `model` or `report.html` may be anybody's: only our settings beside it make it ours.
    marks = (
        path / "config.toml",
        path / CHECKPOINTS / "config.toml",
        path / _READY / "config.toml",
    )
    if any(_is_marked(mark, layout.header) for mark in marks):
        names -= {*layout.results, CHECKPOINTS}
    return sorted(names)


def _is_marked(file: Path, header: str) -> bool:
    try:
        return file.read_text("utf-8").startswith(header)
    except (OSError, UnicodeDecodeError):
        return False


def _flush(path: Path) -> None:
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
