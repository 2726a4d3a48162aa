"""Ctrl-C and SIGTERM end a program alike: what was begun is ended, and one line says so.

For programs: a library leaves the signals of its host alone. The first signal is raised where the
program is, as ``KeyboardInterrupt``. Nobody sees a traceback, whenever it comes and however often.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

_SAME_KEYSTROKE = 1.0
"""Seconds in which a second signal is the first one once more, as terminals and schedulers send
it."""
_IMPORT = "<frozen importlib._bootstrap>"

_to_end = 0


class Terminated(KeyboardInterrupt):
    """SIGTERM, which goes the way of Ctrl-C."""


def exit_status(error: KeyboardInterrupt) -> int:
    """What a program ends with: 128 and the number of the signal."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def work() -> Iterator[None]:
    """Work that has an end of its own, and is not left without it."""
    global _to_end
    _to_end += 1
    try:
        yield
    finally:
        _to_end -= 1


def run_program(program: Callable[[], int]) -> int:
    """Run a program to its end, in the main thread; nothing but the interpreter's own end may come
    after it.

    While it imports and nothing was begun yet, a signal ends the process at once, since imports
    that are broken off fail in ways of their own. A second signal does so when it comes after a
    second; child processes are ended, too. A signal that the process was started to ignore stays
    ignored.

    Returns:
        The exit status: the program's, or 130 after Ctrl-C and 143 after SIGTERM.
    """
    handler = _Handler()
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        return program()
    except KeyboardInterrupt as error:
        _say("interrupted")
        return exit_status(error)
    finally:
        handler.over = True


class _Handler:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.first: float | None = None
        self.over = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if os.getpid() != self.process:  # a worker, which inherited this
            raise error
        if self.over:
            os._exit(128 + number)
        if self.first is None:
            if not _to_end and _imports(frame):
                _leave(number, "interrupted before anything was begun")
            self.first = time.monotonic()
            raise error
        if time.monotonic() - self.first > _SAME_KEYSTROKE:
            _leave(number, "stopped at once; run the same command to continue")


def _leave(number: int, words: str) -> NoReturn:
    _say(words)
    with suppress(Exception):
        import psutil

        for child in psutil.Process().children(recursive=True):
            child.kill()
    os._exit(128 + number)


def _say(words: str) -> None:
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"\ntvtfast: {words}\n".encode())


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
