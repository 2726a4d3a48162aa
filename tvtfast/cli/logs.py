"""What the library logs, as the command line shows it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tvtfast.common.fallbacks import FallbackWarning, logger

_SAID = logging.getLogger("tvtfast.data")
"""What it finds in somebody's data is said, too."""


@contextmanager
def log_shown() -> Iterator[None]:
    """Warnings, and what was found in data, go to standard error, each once."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    handler.addFilter(_Once())
    level = _SAID.level
    _SAID.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)  # the log has it
            yield
    finally:
        logger.removeHandler(handler)
        _SAID.setLevel(level)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname}: "
        return f"tvtfast: {level}{record.getMessage()}"


class _Once(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        is_new = message not in self._shown
        self._shown.add(message)
        return is_new
