"""Files that are written at once, or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from tvtfast.common.files import FullDiskError, replacing, sweep, write_durably, write_json
from tvtfast.common.worker import here


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "best.json"
    write_json(path, {"old": True})

    def full(target):
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        FullDiskError, match=r"best\.json cannot be written, the disk is full"
    ) as told:
        write_durably(path, full)
    assert "nothing that was written before is lost. Free some space" in str(told.value)
    assert path.read_text() == '{\n  "old": true\n}\n' and list(tmp_path.iterdir()) == [path]


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), replacing(tmp_path / "x"):
        raise PermissionError("no")


@pytest.mark.skipif(not hasattr(os, "mkfifo") or os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_is_full(tmp_path):
    """PyTorch says it in its own words."""
    import torch

    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", str(tmp_path)], check=False
    ).returncode:
        pytest.skip("no right to mount")
    try:
        with pytest.raises(FullDiskError, match=r"last\.pt cannot be written, the disk is full"):
            write_durably(
                tmp_path / "last.pt", lambda path: torch.save({"x": torch.zeros(10**6)}, path)
            )
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def leave_behind(path):
    """What a process leaves that is killed while it writes."""
    code = (
        "import os, sys; from pathlib import Path; from tvtfast.common.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as target:\n"
        "    target.write_text('half'); os._exit(9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)


def test_leftovers_of_dead_writers_are_swept(tmp_path):
    leave_behind(tmp_path / "last.pt")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".last.pt.") and left.suffix == ".tmp"
    digits = "0123456789abcdef" * 2
    foreign = tmp_path / f".last.pt.{'0' * 8 if here() != '0' * 8 else '1' * 8}-1-{digits}.tmp"
    earlier = tmp_path / f".last.pt.{digits}.tmp"
    users = tmp_path / ".notes.tmp"
    for path in (foreign, earlier, users):
        path.write_text("half")
    with replacing(tmp_path / "scores.csv") as written:
        written.write_text("a live writer")
        sweep(tmp_path)
        assert {*tmp_path.iterdir()} == {foreign, earlier, users, written}
    for path in (foreign, earlier, users):
        os.utime(path, (0, 0))
    sweep(tmp_path)
    assert {*tmp_path.iterdir()} == {users, tmp_path / "scores.csv"}
