"""Files that readers see whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path


def write_files(folder: str | os.PathLike[str], contents: Mapping[str, bytes]) -> Path:
    """Write every file under a temporary name, then move each into place, the last one last.

    When writing fails, files that were there before stay as they were and no temporary file is
    left behind.

    Returns:
        Path of the last file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    moves = [(folder / f".{name}.{uuid.uuid4().hex}", folder / name) for name in contents]
    try:
        for (unfinished, _), data in zip(moves, contents.values(), strict=True):
            unfinished.write_bytes(data)
        for unfinished, path in moves:
            os.replace(unfinished, path)
    finally:
        for unfinished, _ in moves:
            unfinished.unlink(missing_ok=True)
    return moves[-1][1]
