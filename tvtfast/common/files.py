"""Write files so that a reader, or a crash, sees all of them or nothing."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CONFIG = "config.yaml"
"""Name of the file in which a command keeps its flags, in the folder of what it makes."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


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


def cache_dir() -> Path:
    """Where tvtfast keeps what it would otherwise compute again.

    ``TVTFAST_CACHE`` when set, else ``tvtfast`` in ``XDG_CACHE_HOME``, else ``~/.cache/tvtfast``.
    """
    chosen = os.environ.get("TVTFAST_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tvtfast"
