"""Errors become a sentence for people and an exit code: 0 done, 1 failed, 2 bad input or usage."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from cyclopts import CycloptsError

from isocline.errors import InputError, IsoclineError

DONE, FAILED, BAD_INPUT = 0, 1, 2

_EXTRAS = {
    "pandas": "tables",
    "polars": "tables",
    "matplotlib": "plot",
    "jinja2": "plot",
    "diffrax": "peers",
    "gradsolve": "peers",
    "sklearn": "peers",
    "torch": "peers",
    "torchdiffeq": "peers",
    "torchode": "peers",
}
# A full disk and a folder without permission are for the user to mend, not faults of the program.
OF_THE_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
}


class StoppedError(Exception):
    """The user stopped a run; the message says how to go on."""


def told(error: BaseException, *, debug: bool) -> int:
    """Say on the standard error what went wrong, and give the exit code.

    Args:
        error: whatever a command raised.
        debug: show the traceback as well.
    """
    if isinstance(error, BrokenPipeError):
        _close_quietly()
        return FAILED
    if debug and not isinstance(error, CycloptsError):
        traceback.print_exception(error)
    code, message = _judged(error)
    _say(message)
    return code


def _judged(error: BaseException) -> tuple[int, str]:
    if isinstance(error, CycloptsError):
        return BAD_INPUT, _usage(error)
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if isinstance(error, StoppedError):
        return FAILED, str(error)
    if isinstance(error, KeyboardInterrupt):
        return FAILED, "Stopped."
    if isinstance(error, ImportError):
        return _missing(error)
    if isinstance(error, OSError):
        return _of_the_system(error)
    # JAX has no error of its own for that.
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return FAILED, (
            "There is not enough memory. Give less data, fewer members, a smaller batch size, or "
            "shorter sequences of events."
        )
    if isinstance(error, IsoclineError):
        return FAILED, str(error)
    return FAILED, _fault(error)


def _fault(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return (
        f"Isocline failed ({type(error).__name__}: {first}). Nothing that was in the output "
        f"folder is lost. --debug shows the traceback for a report."
    )


def _usage(error: CycloptsError) -> str:
    """What is wrong with the options; pydantic's faults without its type codes and addresses."""
    from pydantic import ValidationError

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValidationError):
            return faults_of(cause, lambda name: f"--{name.replace('_', '-')}")
        cause = cause.__cause__ or cause.__context__
    return str(error).strip().replace("Unused Tokens:", "There is no use for the arguments")


def faults_of(error, called) -> str:
    """The faults that pydantic found, a sentence each.

    Args:
        error: a `pydantic.ValidationError`.
        called: from the name of a field to what the user calls it.
    """
    faults = []
    for fault in error.errors(include_url=False):
        name = called(str(fault["loc"][0])) if fault["loc"] else "The settings"
        wanted = fault["msg"].replace("Input should be ", "must be ").replace("Value error, ", "")
        faults.append(f"{name} = {fault['input']!r}: {wanted}.")
    return " ".join(dict.fromkeys(faults))


def _missing(error: ImportError) -> tuple[int, str]:
    module = (error.name or "").split(".")[0]
    if module in _EXTRAS:
        return BAD_INPUT, (
            f"This needs {module}, which is not installed. Run: "
            f"pip install 'isocline[{_EXTRAS[module]}]'"
        )
    return FAILED, _fault(error.__cause__ or error)


def _of_the_system(error: OSError) -> tuple[int, str]:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in OF_THE_DISK:
        return BAD_INPUT, (
            f"A file can not be written{where}: {error.strerror}. Nothing that was in the output "
            f"folder is lost. Make room, or name another folder."
        )
    return FAILED, (
        f"The system failed{where}: {error.strerror or error}. --debug shows the traceback."
    )


def _say(message: str) -> None:
    try:
        bold, off = ("\x1b[1;31m", "\x1b[0m") if _coloured() else ("", "")
        print(f"{bold}error:{off} {message}", file=sys.stderr, flush=True)
    except (BrokenPipeError, ValueError):
        pass


def _coloured() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _close_quietly() -> None:
    """Let the interpreter flush what is left into nothing, instead of complaining at exit."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
