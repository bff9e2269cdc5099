"""What all commands share: how much to say, and where."""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from isocline.errors import InputError

if TYPE_CHECKING:
    import pandas

COMMAND: ContextVar[str] = ContextVar("COMMAND", default="isocline")
"""The command line that runs, as one would type it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Talk:
    """Options of every command, and the words that it says.

    Results go to the standard output; all else goes to the standard error: pipes stay clean.
    """

    json: Annotated[bool, Parameter(help="Print the result as JSON.")] = False
    quiet: Annotated[bool, Parameter(help="Say nothing on the way; errors are still told.")] = False
    debug: Annotated[
        bool, Parameter(help="Show the traceback of a failure; so does ISOCLINE_DEBUG=1.")
    ] = False

    def note(self, *lines: str) -> None:
        """Say something on the way."""
        if not self.quiet:
            for line in lines:
                print(line, file=sys.stderr, flush=True)

    def result(self, document: dict[str, Any], *texts: Any) -> None:
        """Print a result: the document under `--json`, else texts and tables for people."""
        if self.json:
            print(json.dumps(plain(document), indent=1, allow_nan=False))
        else:
            from rich.console import Console

            # Files and pipes have no width: nothing need be cut for them.
            width = None if sys.stdout.isatty() else 160
            console = Console(
                file=sys.stdout, width=width, highlight=False, markup=False, soft_wrap=True
            )
            for text in texts:
                console.print(text)
        sys.stdout.flush()


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; no error where a list of dates is too long for a name."""
    try:
        return path.exists()
    except OSError:
        return False


def plain(value: Any) -> Any:
    """A value as strict JSON has it: numbers that are not finite become null, arrays lists."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame, times as ISO texts."""
    text = frame.to_json(orient="records", date_format="iso", double_precision=15)
    return json.loads(text or "[]")


def write_table(path: Path, frame: pandas.DataFrame) -> None:
    """Write a frame as CSV, whole or not at all; into a device or pipe directly.

    Raises:
        InputError: the file can not be written.
    """
    from isocline.train.checkpoint import write_bytes

    content = frame.to_csv(index=False).encode()
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            # /dev/stdout must not be replaced by a file.
            path.write_bytes(content)
        else:
            write_bytes(path, content)
    except OSError as error:
        raise InputError(
            f"The file {path} can not be written: {error.strerror or error}. Name another by --out."
        ) from None


def require_file(out: Path | None) -> None:
    """Refuse a folder where a file is to be written."""
    if out is not None and out.is_dir():
        raise InputError(f"--out {out} is a folder. Name a CSV file.")


def write_noted(out: Path | None, frame: pandas.DataFrame, talk: Talk) -> None:
    """Write a frame, where there is a file for it, and say so."""
    if out is not None:
        write_table(out, frame)
        talk.note(f"Written to {out}: {len(frame)} rows.")


def hand_over(
    out: Path | None, frame: pandas.DataFrame, talk: Talk, document: dict[str, Any], name: str
) -> None:
    """Give a frame as the result: in a file, as JSON among other facts, or as CSV.

    Args:
        document: the other facts.
        name: of the rows among them.
    """
    write_noted(out, frame, talk)
    if talk.json:
        written = None if out is None else str(out)
        talk.result({**document, "out": written, name: records(frame)})
    elif out is None:
        sys.stdout.write(frame.to_csv(index=False))
