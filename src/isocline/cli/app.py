"""The application: which commands there are, and how each ends."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from isocline._version import __version__

from .commands import COMMANDS
from .common import COMMAND
from .failing import DONE, StoppedError, told
from .interrupts import leave, stoppable

_HELP = (
    "Neural ordinary differential equations: forecasts of irregular time series.\n\n"
    "Each command has --help with examples, and --json. "
    "Exit codes: 0 done, 1 failed, 2 bad input or usage."
)
_EPILOGUE = "\n".join(
    [
        "Examples:",
        "  isocline forecast --out results/sst",
        "  isocline forecast my.csv --horizon 90d --out results/mine",
        "  isocline info my.csv",
    ]
)


def make_app() -> App:
    """The application with its commands; their code is not loaded yet."""
    app = App(
        name="isocline",
        help=_HELP,
        help_epilogue=_EPILOGUE,
        version=__version__,
        help_format="plaintext",
        # No `--no-json` or `--empty-target`: options do one thing.
        default_parameter=Parameter(negative=(), show_default=_shown),
        print_error=False,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, command in COMMANDS.items():
        app.command(command.path, name=name, help=command.help, help_epilogue=command.epilogue)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: after the name of the program; those of the process if not given, and then a
            run that was stopped ends the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad input or usage.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMAND.set(shlex.join(["isocline", *tokens]))
    try:
        with stoppable():
            make_app()(tokens)
            sys.stdout.flush()
        return DONE
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else DONE
    except BaseException as error:
        code = told(error, debug="--debug" in tokens or _wanted("ISOCLINE_DEBUG"))
        if arguments is None and isinstance(error, (KeyboardInterrupt, StoppedError)):
            leave(code)
        return code
    finally:
        COMMAND.reset(command)


def _shown(default: object) -> str | None:
    """The default that help shows; that a flag is off goes without saying."""
    return None if default is False or default is None else str(default)


def _wanted(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")
