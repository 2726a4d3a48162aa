"""Where a score store may lie: on a file system that machines share, one of them uses it.

SQLite's write-ahead log needs memory that all its processes share, which ends at the machine, and
its locks are as good as those of the file system, which on NFS are known to fail. So there a store
has a rollback journal, and a file beside it for every process that has it open.

Source: https://www.sqlite.org/wal.html and https://www.sqlite.org/lockingv3.html.
"""

from __future__ import annotations

import json
import os
import uuid
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tvtfast.common.fallbacks import logger
from tvtfast.common.file_systems import shared_file_system
from tvtfast.common.worker import exists, is_near, this_process
from tvtfast.scoring.store_error import StoreError

_OPEN = ".open"


class Place:
    """The place of a store's file, for as long as it is open.

    Args:
        path: The file.

    Attributes:
        shared: The type of the file system where machines share it, else ``None``.

    Raises:
        StoreError: A process of another machine has the file open.
    """

    def __init__(self, path: Path) -> None:
        self.shared = shared_file_system(path.parent)
        self.release: Callable[[], object] = lambda: None
        if self.shared is not None:
            self._claim(path, self.shared)

    @property
    def journal(self) -> str:
        """SQLite's journal mode that is safe here."""
        return "WAL" if self.shared is None else "DELETE"

    def _claim(self, path: Path, kind: str) -> None:
        own = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_OPEN}")
        own.write_text(json.dumps(this_process()), encoding="utf-8")
        # Whoever looks after both have written sees the other, so at most one goes on.
        self.release = weakref.finalize(self, _leave, own, os.getpid())
        for other in path.parent.glob(f"{path.name}.*{_OPEN}"):
            if other == own:
                continue
            process = _read(other)
            if not is_near(process):
                self.release()
                raise StoreError(
                    f"score store {path} is open on {process.get('host', 'another machine')} "
                    f"(process {process.get('pid', 'unknown')}), and lies on a file system of type "
                    f"{kind}, whose locks do not keep two machines apart. Let one process write "
                    "and send it the scores of the others, or give every machine a store of its "
                    "own and put them together with 'tvtfast runs merge'; if that process is "
                    f"gone, remove {other}"
                )
            if not exists(process):
                _remove(other)
        logger.warning(
            "score store %s lies on a file system of type %s, which other machines may share: only "
            "this machine can use it now, and every commit waits for the disk",
            path,
            kind,
        )


def _read(path: Path) -> Mapping[str, Any]:
    """The process that a file names; one of nowhere where it says nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _leave(path: Path, process: int) -> None:
    if process == os.getpid():  # a process that was forked leaves its parent's alone
        _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
