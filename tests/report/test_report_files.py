"""Pages and figures are written together, or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tvtfast.common.files import FullDiskError
from tvtfast.report.files import write_files

CONTENTS = {"a.png": b"1", "b.png": b"2", "report.html": b"3"}


def test_the_page_comes_last(tmp_path, monkeypatch):
    moved = []
    replace = os.replace
    monkeypatch.setattr(
        "os.replace", lambda source, target: moved.append(target.name) or replace(source, target)
    )
    assert write_files(tmp_path / "new", CONTENTS) == tmp_path / "new" / "report.html"
    assert moved == list(CONTENTS)
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == CONTENTS


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write_files(tmp_path, CONTENTS)
    write = Path.write_bytes

    def full(path, data):
        if ".b.png" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FullDiskError, match=r"b\.png cannot be written, the disk is full"):
        write_files(tmp_path, dict.fromkeys(CONTENTS, b"new"))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENTS
