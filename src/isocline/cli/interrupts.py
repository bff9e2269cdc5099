"""Ctrl-C and SIGTERM stop a run, also where the exception that they raise gets lost."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import CodeType, FrameType

_asked: list[int] = []  # the signals of this run
_MOMENT = 0.01  # seconds
# Files of what weak references call when their object goes.
_WEAK = {
    kind.__init__.__code__.co_filename for kind in (weakref.WeakSet, weakref.WeakKeyDictionary)
}


@contextmanager
def stoppable() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt as Ctrl-C does, so that both leave by the same way.

    Checkpoints are replaced whole after every epoch: it does not matter where this strikes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    numbers = [signal.SIGTERM]
    # Whoever starts a run in the background of a shell has it ignore Ctrl-C: so it stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt if a signal asked for it and the run still goes on.

    An exception that strikes in a finalizer or a callback is dropped there: the run would go on as
    if nobody had asked.
    """
    if _asked:
        raise KeyboardInterrupt


def leave(code: int) -> None:
    """End the process at once.

    An exception that strikes while JAX compiles leaves objects behind on which the interpreter
    crashes when it takes itself down. All files are closed by now, so nothing is lost.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _stop(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    if _is_dropping(frame):
        again = threading.Timer(_MOMENT, signal.raise_signal, (number,))
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt


def _is_dropping(frame: FrameType | None) -> bool:
    """Whether the garbage collector or a finalizer called this: exceptions are dropped there.

    JAX has such a callback, and collects much while it traces: one signal in five fell into it.
    """
    codes = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        if frame.f_code in codes or _is_finalizer(frame.f_code):
            return True
        frame = frame.f_back
    return False


def _is_finalizer(code: CodeType) -> bool:
    weak = code.co_name in ("remove", "_remove") and code.co_filename in _WEAK
    return weak or code.co_name == "__del__"
