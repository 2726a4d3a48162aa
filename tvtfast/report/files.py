"""Files that readers see whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tvtfast.common.files import replacing


def write_files(folder: str | os.PathLike[str], contents: Mapping[str, bytes]) -> Path:
    """Write every file under a temporary name, then move each into place, the last one last.

    When writing fails, files that were there before stay as they were and no temporary file is
    left behind.

    Returns:
        Path of the last file.

    Raises:
        FullDiskError: There is no space for one; the message names it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(contents)
    with ExitStack() as moves:
        for name in reversed(names):  # what is entered last is moved first
            moves.enter_context(replacing(folder / name)).write_bytes(contents[name])
    return folder / names[-1]
