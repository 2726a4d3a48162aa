"""``run.json``: what a run is, so that only the same run goes on in its folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvtfast.common.files import write_json
from tvtfast.common.machine import machine, versions
from tvtfast.models import CheckpointError
from tvtfast.scoring.store import StoreError
from tvtfast.training.settings import differences

RECORD = "run.json"
_FORMAT = "tvtfast run"


class RunError(RuntimeError):
    """A run cannot begin or go on; the message says why, and what to do."""


class Record:
    """The record of one run; made, or compared with the one that is there.

    Args:
        folder: The run folder; made where it does not exist.
        settings: All that the results depend on, as plain values.

    Raises:
        RunError: The folder holds another run, or something else.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.path = folder / RECORD
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._compare(read_json(self.path))
        self.write("running")

    def _compare(self, found: Any) -> None:
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise RunError(
                f"{self.path} is not the record of a run; choose another folder for its output"
            )
        changes = differences(found.get("settings") or {}, self.settings)
        if changes:
            raise RunError(
                f"{self.path.parent} holds another run ({changes}); repeat its command to continue "
                "it, or choose another folder for its output"
            )

    def write(self, status: str, **more: Any) -> None:
        """Replace the record at once."""
        content = {
            "format": _FORMAT,
            "status": status,
            "settings": self.settings,
            "versions": versions(),
            "machine": machine(),
            **more,
        }
        write_json(self.path, content)


@contextmanager
def stage(name: str, folder: Path) -> Iterator[None]:
    """Say which stage found a damaged folder, and how it is done again.

    Raises:
        RunError: In place of what readers raise for damaged, missing and unfit files.
    """
    try:
        yield
    except (CheckpointError, StoreError, FileNotFoundError) as error:
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
