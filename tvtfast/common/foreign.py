"""Files from outside are data, and anything may be in them: one place decides about bad ones.

Every parser of foreign files runs inside `reading`, whatever library it is. Parsers raise whatever
they like, and what comes out names the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class BadFileError(ValueError):
    """A file from outside that cannot be read; the message names the file."""


@contextmanager
def reading(
    path: str | os.PathLike[str],
    what: str,
    *,
    advice: str,
    error: type[BadFileError] = BadFileError,
) -> Iterator[None]:
    """Turn every exception of a parser into one error that names the file.

    Args:
        path: The file.
        what: What it is read as, such as ``an image``.
        advice: What to do about it, such as ``replace the file or remove it``.
        error: What is raised; a kind of `BadFileError`.

    Raises:
        BadFileError: The parser raised anything else than what follows.
        OSError: The system cannot give the file: it is missing, or not to be read by this user.
    """
    try:
        yield
    except (BadFileError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as cause:
        raise error(
            f"{os.fspath(path)} cannot be read as {what} ({_first_line(cause)}); {advice}"
        ) from cause


def _first_line(error: BaseException) -> str:
    """What went wrong, short; parsers quote whole files and documentation pages."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {lines[0][:200]}" if lines else name
