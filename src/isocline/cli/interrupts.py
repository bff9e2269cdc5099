"""SIGTERM stops a run as Ctrl-C does."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt, so that both leave by the same way.

    Checkpoints are replaced whole after every epoch: it does not matter where this strikes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(code: int) -> None:
    """End the process at once.

    An exception that strikes while JAX compiles leaves objects behind on which the interpreter
    crashes when it takes itself down. All files are closed by now, so nothing is lost.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stop(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt
