"""A run that leaves a folder of results: its input checked, trained, written, and told."""

from __future__ import annotations

import json
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Bool

from isocline._version import __version__
from isocline.errors import InputError

from .common import COMMAND, Talk
from .failing import OF_THE_DISK, StoppedError
from .progress import STAGES, Progress, progress_of
from .settings import RunSettings
from .staging import ResultFolder

Outcome = TypeVar("Outcome")
Work = Callable[[Path, Progress], Outcome]


class StagedRun(ABC, Generic[Outcome]):
    """A run of a command.

    Args:
        settings: what to do.
        talk: how to speak.
        resume: go on from the checkpoint.
        report: make report.html.
        again: the command that resumes this run.
    """

    def __init__(
        self, settings: RunSettings, talk: Talk, *, resume: bool, report: bool, again: str
    ) -> None:
        self.talk, self.resume, self.report = talk, resume, report
        self.again = again
        self._chosen = settings
        self.began = time.perf_counter()

    @abstractmethod
    def prepared(self) -> Work[Outcome]:
        """Check the input, and give what does the work from a folder of checkpoints."""

    @abstractmethod
    def metrics_of(self, outcome: Outcome) -> dict[str, Any]:
        """The numbers of a result, as strict JSON has them."""

    @abstractmethod
    def table_of(self, metrics: dict[str, Any]) -> Any:
        """What people are shown of them."""

    @abstractmethod
    def write(self, outcome: Outcome, new: Path) -> None:
        """Write the results but for settings, metrics and report."""

    @abstractmethod
    def page(self, outcome: Outcome) -> str:
        """The report."""

    def into(self, open_folder: Callable[[], ResultFolder]) -> None:
        """Check the input, then train and write the results.

        The folder is opened after the input is found good, so that a typing error leaves no trace.
        """
        if self.report:
            require_report()
        work = self.prepared()
        folder = open_folder()
        progress = progress_of(quiet=self.talk.quiet)
        try:
            self._begin(folder)
            with progress:
                outcome = work(folder.checkpoints, progress)
            failure = self._write(outcome, folder)
        except BaseException as error:
            told = self._told(error, folder, progress.last)
            if told is error:
                raise
            raise told from error
        folder.drop_earlier_checkpoints()
        files = sorted(entry.name for entry in folder.path.iterdir() if entry.name[0] != ".")
        if self.talk.json or not self.talk.quiet:
            metrics = self.metrics_of(outcome)
            self.talk.result(
                metrics | {"out": str(folder.path), "files": files},
                self.table_of(metrics),
                f"Written to {folder.path}: {', '.join(files)}",
            )
        if failure is not None:
            raise failure

    def _begin(self, folder: ResultFolder) -> None:
        """Note the settings beside the checkpoints; without --resume, old states step aside."""
        from isocline.train.checkpoint import write_bytes

        if not self.resume and folder.put_checkpoints_aside():
            self.talk.note(
                "Starting anew: the checkpoint of the earlier run is kept until this one is done."
            )
        begun = any(folder.checkpoints.glob("*.safetensors"))
        if self.resume and not begun:
            self.talk.note(f"There is no checkpoint in {folder.path}: starting from the beginning.")
        if not begun:
            write_bytes(folder.checkpoints / "config.toml", self._chosen.toml().encode())

    def _told(
        self, error: BaseException, folder: ResultFolder, last: dict[str, Any] | None
    ) -> BaseException:
        """What to raise of a run that was stopped or found the disk full: it says what is kept."""
        kept = self._kept(folder, last)
        if isinstance(error, KeyboardInterrupt):
            return StoppedError(f"Stopped. {kept} Go on with: {self.again}")
        if not isinstance(error, OSError) or error.errno not in OF_THE_DISK:
            return error
        return InputError(
            f"The output folder {folder.path} can not be written: {error.strerror}. Nothing that "
            f"was in it is lost. {kept} Make room, then go on with: {self.again}"
        )

    def _kept(self, folder: ResultFolder, last: dict[str, Any] | None) -> str:
        if last is not None:
            stage = STAGES.get(str(last.get("stage")), str(last.get("stage")))
            return (
                f"The state after epoch {last['epoch']} of the {stage} is kept in "
                f"{folder.checkpoints}."
            )
        if self.resume:
            return f"The state of training is kept in {folder.checkpoints}."
        if folder.take_checkpoints_back():
            return "No epoch was done; the checkpoint of the earlier run is in its place again."
        return "No epoch was done."

    def _write(self, outcome: Outcome, folder: ResultFolder) -> Exception | None:
        """Write all results; a report that can not be made is given back as a failure."""
        failure = None
        with folder.staged() as new:
            self.write(outcome, new)
            (new / "config.toml").write_text(self._chosen.toml(), "utf-8")
            if self.report:
                failure = self._write_report(outcome, new / "report.html")
            text = json.dumps(self.metrics_of(outcome), indent=1, allow_nan=False)
            (new / "metrics.json").write_text(text + "\n", "utf-8")
        return failure

    def _write_report(self, outcome: Outcome, path: Path) -> Exception | None:
        try:
            page = self.page(outcome)
        except Exception as error:
            # A long training must not be lost for a picture.
            self.talk.note("The report could not be made; all other results are written.")
            return error
        path.write_text(page, "utf-8")
        return None

    def circumstances(self) -> dict[str, Any]:
        """What any run notes of itself."""
        import jax

        return {
            "seconds": time.perf_counter() - self.began,
            "command": COMMAND.get(),
            "version": __version__,
            "jax": jax.__version__,
            "python": platform.python_version(),
        }


def kept_apart(count: int, share: float, seed: int) -> Bool[np.ndarray, " rows"]:
    """Which of so many rows are kept to test with: at least one."""
    draw, tested = np.random.default_rng(seed), np.zeros(count, bool)
    tested[draw.permutation(count)[: max(round(share * count), 1)]] = True
    return tested


def require_report() -> None:
    """Refuse a run that would fail at its very end for want of a library.

    Raises:
        InputError: names the extra to install.
    """
    for library in ("matplotlib", "jinja2"):
        if find_spec(library) is None:
            raise InputError(
                f"The report needs {library}, which is not installed. Run: pip install "
                f"'isocline[plot]', or leave the report out by --no-report."
            )


def short(data: str) -> str:
    """The name of the file, without the folders of this machine."""
    return Path(data).name
