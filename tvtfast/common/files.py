"""Write files so that a reader, or a crash, sees all of them or nothing."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvtfast.common.worker import existed, here

if TYPE_CHECKING:
    import pandas as pd

CONFIG = "config.yaml"
"""Name of the file in which a command keeps its flags, in the folder of what it makes."""


_UNFINISHED = re.compile(r"\..+\.(?:(?P<where>[0-9a-f]{8})-(?P<pid>\d+)-)?[0-9a-f]{32}\.tmp")
"""Names of files that are being written: the machine, the process and a random number."""
_FORSAKEN = 3600.0
"""Seconds without a change after which nobody writes a file any more, whoever began it."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TORCH_WRITER = "inline_container"
"""What PyTorch's errors name when a checkpoint cannot be written."""


class FullDiskError(OSError):
    """A file cannot be written for want of space; the message names it.

    Attributes:
        what: What happened, without what to do.
    """

    def __init__(self, path: Path) -> None:
        self.what = f"{path} cannot be written, the disk is full or a quota is reached"
        super().__init__(
            f"{self.what}; nothing that was written before is lost. Free some space and run the "
            "same command again"
        )


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    Raises:
        FullDiskError: There is no space for it; what was at ``path`` is still there.
    """
    path = Path(path)
    writer = f"{here()}-{os.getpid()}-{uuid.uuid4().hex}"
    unfinished = path.with_name(f".{path.name}.{writer}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except Exception as error:
        if _is_full(error):
            raise FullDiskError(path) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return isinstance(error, RuntimeError) and _TORCH_WRITER in str(error)


def sweep(folder: Path) -> None:
    """Remove what writers left in a folder who died before they ended.

    A file goes if its writer is a process of this machine that is no more, or if it was not touched
    for an hour. Files that somebody writes stay.
    """
    for path in folder.glob(".*.tmp"):
        name = _UNFINISHED.fullmatch(path.name)
        if name is None:
            continue
        with suppress(OSError):  # gone already, or not ours to remove
            changed = path.stat().st_mtime
            dead = name["where"] == here() and not existed(int(name["pid"]), changed)
            if dead or time.time() - changed > _FORSAKEN:
                path.unlink()


def write_durably(path: Path, save: Callable[[Path], object]) -> None:
    """Let ``save`` write a file that takes the place of ``path`` once it is safe on disk, so that
    not even a loss of power leaves half of it."""
    with replacing(path) as target:
        save(target)
        with open(target, "rb") as written:
            os.fsync(written.fileno())


def write_json(path: Path, content: Any) -> None:
    """Write plain values, indented; see `write_durably`."""
    text = json.dumps(content, indent=2) + "\n"
    write_durably(path, lambda target: target.write_text(text, encoding="utf-8"))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index; see `replacing`."""
    with replacing(path) as target:
        frame.to_csv(target, index=False)


class OutputError(OSError):
    """What is to be written cannot be; said before the work that it is the result of."""


def check_folder(name: str, path: str | os.PathLike[str]) -> Path:
    """Try whether a folder, and files in it, can be written. Nothing is made.

    Args:
        name: The argument, with which the message begins.
        path: The folder, whether it is there or not.

    Raises:
        OutputError: It is a file, or below one, or the system refuses.
    """
    folder = Path(path)
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not there.is_dir():
        where = "a file" if there == folder else f"inside {there}, which is a file"
        raise OutputError(f"{name} is {os.fspath(path)!r}, which is {where}; give a folder")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OutputError(
            f"{name} is {os.fspath(path)!r}, and nothing can be written to {there} "
            f"({error.strerror}); give another folder"
        ) from error
    return folder


def check_file(name: str, path: str | os.PathLike[str]) -> Path:
    """Try whether a file can be written; see `check_folder`.

    Raises:
        OutputError: It is a folder, or its folder cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        raise OutputError(f"{name} is {os.fspath(path)!r}, which is a folder; give a file")
    check_folder(name, file.parent)
    return file


def cache_dir() -> Path:
    """Where tvtfast keeps what it would otherwise compute again.

    ``TVTFAST_CACHE`` when set, else ``tvtfast`` in ``XDG_CACHE_HOME``, else ``~/.cache/tvtfast``.
    """
    chosen = os.environ.get("TVTFAST_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tvtfast"
