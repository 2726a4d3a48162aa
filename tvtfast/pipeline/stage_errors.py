"""What a run says of a stage that cannot go on."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvtfast.common.foreign import BadFileError
from tvtfast.common.run_folder import OtherRunError, RunError
from tvtfast.models import CheckpointError
from tvtfast.scoring.store import StoreError


@contextmanager
def stage(name: str, folder: Path) -> Iterator[None]:
    """Say which stage found a damaged folder or that of another run, and how it is done again.

    Raises:
        RunError: In place of what readers raise for damaged, missing and unfit files.
    """
    try:
        yield
    except (BadFileError, OtherRunError, StoreError, FileNotFoundError) as error:
        raise RunError(
            f"stage {name!r} cannot go on: {error}. To do this stage again, remove its folder: "
            f"rm -r {shlex.quote(str(folder))}"
        ) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        CheckpointError: It is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); remove it") from error
