"""A problem in a user's Python file: `f`, `y0`, `ts`, and maybe `args`, `loss`, `options`."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isocline.errors import InputError

NEEDED = ("f", "y0", "ts")
WELCOME = ("args", "loss", "options")


def read_problem_file(where: str) -> dict[str, Any]:
    """What a tool takes as keyword arguments, from `FILE.py` or `FILE.py:NAME`.

    NAME is a mapping, an object or a function without arguments that gives one; it has the names
    that otherwise the file itself has.

    Raises:
        InputError: there is no such file, it does not run, or a name is missing.
    """
    path, name = _split(where)
    space = _run(path)
    if name is not None:
        space = _named(space, name, path)
    missing = [one for one in NEEDED if one not in space]
    if missing:
        raise InputError(
            f"{where} has no {' and no '.join(missing)}. It needs f(t, y, args), y0 and ts, and "
            f"may have {', '.join(WELCOME)}."
        )
    if not callable(space["f"]):
        raise InputError(f"{where}: f must be a function f(t, y, args) or f(t, y).")
    if space.get("loss") is not None and not callable(space["loss"]):
        raise InputError(f"{where}: loss must be a function of the values at ts.")
    options = space.get("options") or {}
    if not isinstance(options, Mapping):
        raise InputError(f"{where}: options must be a dict of keyword arguments of isocline.solve.")
    taken = {one: space[one] for one in (*NEEDED, "args", "loss") if one in space}
    return {**options, **taken}


def _split(where: str) -> tuple[Path, str | None]:
    """`FILE.py:NAME`; a colon of a drive letter is no such colon."""
    path, colon, name = where.rpartition(":")
    if colon and name.isidentifier() and path.endswith(".py"):
        return Path(path), name
    return Path(where), None


def _run(path: Path) -> dict[str, Any]:
    if path.suffix != ".py":
        raise InputError(f"{path} is no Python file: name a file that ends with .py.")
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    # As Python does for a script: its neighbours can be imported.
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(str(path), run_name="isocline_problem")
    except SyntaxError as error:
        raise InputError(f"{path} is not Python, line {error.lineno}: {error.msg}.") from error
    except Exception as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve() == path.resolve()
        ]
        line = f" in line {lines[-1]}" if lines else ""
        raise InputError(
            f"{path} fails{line} ({type(error).__name__}: {error}). --debug shows the traceback."
        ) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _named(space: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    if name not in space:
        raise InputError(f"{path} has no {name}.")
    value = space[name]
    if isinstance(value, Callable) and not any(hasattr(value, one) for one in NEEDED):
        value = value()
    if isinstance(value, Mapping):
        return dict(value)
    return {one: getattr(value, one) for one in (*NEEDED, *WELCOME) if hasattr(value, one)}
