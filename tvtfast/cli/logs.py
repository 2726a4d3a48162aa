"""What the library logs, as the command line shows it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tvtfast.common.fallbacks import FallbackWarning, logger
from tvtfast.common.plugins import PluginWarning

_SAID = tuple(map(logging.getLogger, ("tvtfast.data", "tvtfast.models")))
"""What it finds in somebody's data and checkpoints is said, too."""


@contextmanager
def log_shown(*, quiet: bool = False) -> Iterator[None]:
    """Warnings and, unless it is to be quiet, what was found in data and checkpoints go to standard
    error, each once."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    handler.addFilter(_Once())
    handler.setLevel(logging.WARNING if quiet else logging.NOTSET)
    levels = [said.level for said in _SAID]
    for said in _SAID:
        said.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FallbackWarning)  # the log has it
            warnings.simplefilter("ignore", PluginWarning)  # likewise
            yield
    finally:
        logger.removeHandler(handler)
        for said, level in zip(_SAID, levels, strict=True):
            said.setLevel(level)


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
