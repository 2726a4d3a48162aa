"""``last.pt``: one file with its own digest, that ``torch.load`` reads as ever."""

from __future__ import annotations

import errno
import zipfile

import numpy as np
import pytest
import torch

from tvtfast.models import CheckpointError
from tvtfast.training.sealed_file import load_sealed, save_sealed
from tvtfast.training.training_folder import LAST, TrainingError, TrainingFolder

STATE = {
    "epoch": 1,
    "objective": {"w": torch.arange(2000, dtype=torch.float32)},
    "history": [{"epoch": 1.0, "loss": 0.5}],
}
SETTINGS = {"lr": 0.1, "weights": "ab"}


@pytest.fixture
def folder(tmp_path):
    folder = TrainingFolder(tmp_path / "run", "teacher", SETTINGS, weights="model.safetensors")
    folder.path.mkdir(exist_ok=True)
    folder.save(STATE, STATE["history"])
    return folder


def test_torch_and_zip_read_it_as_ever(folder):
    path = folder.path / LAST
    for content in (torch.load(path, weights_only=True), folder.load()):
        assert torch.equal(content["objective"]["w"], STATE["objective"]["w"])
    with zipfile.ZipFile(path) as archive:
        assert archive.comment.startswith(b"tvtfast sha256 ") and archive.testzip() is None


def test_no_flipped_bit_is_loaded(folder):
    path = folder.path / LAST
    whole = path.read_bytes()
    ends = [8 * len(whole) - 1 - bit for bit in range(0, 8 * 100, 7)]
    for bit in (*np.random.default_rng(0).integers(8 * len(whole), size=200).tolist(), *ends):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last\.pt .* Remove it to train from the begin"):
            folder.load()
    path.write_bytes(whole)
    assert folder.load()["epoch"] == 1


def test_states_of_version_1_are_read(folder):
    state = folder.load() | {"version": 1}
    torch.save(state, folder.path / LAST)
    assert folder.load()["epoch"] == 1
    torch.save(state | {"version": 2}, folder.path / LAST)
    with pytest.raises(CheckpointError, match="SHA-256 at its end is gone"):
        folder.load()
    torch.save(state | {"version": 3}, folder.path / LAST)
    with pytest.raises(CheckpointError, match="version 3; this tvtfast reads 1 and 2"):
        folder.load()


def test_settings_are_read_without_the_digest(folder):
    state, sealed = load_sealed(folder.path / LAST, mmap=True)
    assert not sealed and state["settings"] == SETTINGS


def test_any_size_of_content(tmp_path):
    for size in (0, 1, 100_000):
        save_sealed(torch.zeros(size), tmp_path / "x.pt")
        content, sealed = load_sealed(tmp_path / "x.pt")
        assert sealed and len(content) == size


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_names_the_file_and_keeps_the_state(folder, monkeypatch, error):
    def fail(content, path):
        raise error

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(TrainingError) as stopped:
        folder.save(STATE | {"epoch": 2}, STATE["history"])
    assert str(folder.path / LAST) in str(stopped.value)
    assert "inline_container" not in str(stopped.value)
    assert folder.load()["epoch"] == 1
