"""What a command leaves on standard output: results for people, or one JSON object."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

WIDTH = 80
"""Columns of text that nobody watches."""
CLOSED = 128 + 13
"""Exit status of a program whose reader went away, as of one that SIGPIPE ended."""


@dataclass(frozen=True)
class Report:
    """What a command found.

    Args:
        text: For people.
        data: The same as names and values; ``docs/cli.md`` lists them.
        failure: What went wrong beside what was found; told after it.
    """

    text: str
    data: Mapping[str, Any]
    failure: Exception | None = None


def show(report: Report, *, as_json: bool) -> None:
    """Print a report.

    Raises:
        BrokenPipeError: Nobody reads any more.
    """
    text = json.dumps(plain(report.data), allow_nan=False) if as_json else report.text
    if text:
        print(text)
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """A value as JSON has it: NaN and infinite numbers are null, paths are text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return os.fspath(value) if isinstance(value, Path) else value


def width() -> int:
    """Columns that there are for text."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH


def wrapped(text: str, *, indent: str = "") -> str:
    """A line as several that fit; what has no spaces stays whole."""
    return textwrap.fill(
        text,
        width(),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def places(found: Mapping[str, Any]) -> str:
    """Names and paths, one a line, in two columns."""
    longest = max(map(len, found), default=0)
    return "\n".join(f"{name:<{longest}}  {path}" for name, path in found.items())


def is_closed(stream: TextIO) -> bool:
    """Whether nobody reads a stream any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no such call, or no file of the system
        return False


def give_up_on(streams: Iterable[TextIO]) -> None:
    """Let the interpreter write what is left for closed streams to nowhere, or it would say so.

    Source: the note on SIGPIPE in the documentation of Python's ``signal``.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
