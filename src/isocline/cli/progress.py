"""Progress of long work on the standard error: bars in a terminal, hardly a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol, Self

from .interrupts import stop_if_asked

STAGES = {
    "latent_ode": "latent ODE",
    "gru": "GRU baseline",
    "matching": "flow matching",
    "likelihood": "maximum likelihood",
    "events": "rate of events",
}
"""What stages of training are called."""
_SECONDS_BETWEEN_LINES = 60.0


class Progress(Protocol):
    """Called with a row after every epoch; `last` is the newest row, None before the first."""

    last: dict[str, Any] | None

    def __call__(self, row: Any) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def progress_of(*, quiet: bool) -> Progress:
    """The kind of progress that fits where the standard error goes."""
    if quiet:
        return _Silent()
    return _Live() if sys.stderr.isatty() else _Lines()


class _Silent:
    def __init__(self) -> None:
        self.last: dict[str, Any] | None = None

    def __call__(self, row: Any) -> None:
        if isinstance(row, dict):
            self.last = row
        stop_if_asked()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Lines(_Silent):
    """The last epoch of each stage, and one line a minute on the way: enough for a log."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, Any] | None = None
        self._when = time.monotonic()

    def __call__(self, row: Any) -> None:
        if not isinstance(row, dict):
            print(row, file=sys.stderr, flush=True)
            return
        if self.last is not None and row.get("stage") != self.last.get("stage"):
            self._tell()
        super().__call__(row)
        if time.monotonic() - self._when >= _SECONDS_BETWEEN_LINES:
            self._tell()

    def __exit__(self, *_: object) -> None:
        self._tell()

    def _tell(self) -> None:
        if self.last is not None and self.last is not self._told:
            print(described(self.last), file=sys.stderr, flush=True)
            self._told, self._when = self.last, time.monotonic()


class _Live(_Silent):
    """A bar for each stage, with the newest row behind it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def __call__(self, row: Any) -> None:
        if not isinstance(row, dict):
            self._bars.console.print(str(row), markup=False, highlight=False)
            return
        super().__call__(row)
        stage = str(row.get("stage", ""))
        if stage not in self._tasks:
            title = STAGES.get(stage, stage)
            self._tasks[stage] = self._bars.add_task(title, total=row.get("epochs"), numbers="")
        self._bars.update(self._tasks[stage], completed=row.get("epoch", 0), numbers=_briefly(row))

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def described(row: dict[str, Any]) -> str:
    """A row as one line: stage, epoch, and the numbers that it has."""
    stage = str(row.get("stage", ""))
    count = f"epoch {row['epoch']}/{row.get('epochs', '?')}" if "epoch" in row else ""
    return "  ".join(filter(None, (STAGES.get(stage, stage), count, _numbers(row))))


def _briefly(row: dict[str, Any]) -> str:
    """The numbers, short enough for a bar in a terminal of 80 columns."""
    seconds = row.get("seconds")
    parts = [
        f"loss {row['loss']:.3g}" if "loss" in row else "",
        f"val {row['validation']:.3g}" if "validation" in row else "",
        f"NFE {row['nfe']:.0f}" if row.get("nfe") else "",
        f"{1 / seconds:.2g}/s" if seconds else "",
    ]
    return " ".join(filter(None, parts))


def _numbers(row: dict[str, Any]) -> str:
    seconds = row.get("seconds")
    parts = [
        f"loss {row['loss']:.4g}" if "loss" in row else "",
        f"validation {row['validation']:.4g}" if "validation" in row else "",
        f"(best at {row['best_epoch']})" if "best_epoch" in row else "",
        f"NFE {row['nfe']:.1f}" if row.get("nfe") else "",
        f"{1 / seconds:.2g} epochs/s" if seconds else "",
    ]
    return "  ".join(filter(None, parts))
