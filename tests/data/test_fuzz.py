"""Damaged files end in an error that names them, in seconds and in bounded memory.

Every loader of this room gets hundreds of damaged files here, and thousands in the slow tests.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tvtfast.common.foreign import BadFileError
from tvtfast.data import FrozenBatch, frozen_batch, load_dataset, load_vit_bench, read_image
from tvtfast.data.images import ImageFiles
from tvtfast.data.pixels import MAX_PIXELS, image_suffixes
from tvtfast.scoring import load_truth

# Pillow and torch warn about what they repair
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = [
    {
        "arch": {"hidden_dim": 192, "mlp_ratio": [3.5] * depth, "depth": depth, "num_heads": [3]},
        "c100_base_acc": 68.0,
        "c100_kd_acc": 76.06,
    }
    for depth in (12, 13, 14)
]
LARGEST_IMAGE = 12 * MAX_PIXELS
"""What decoding may take, see ``MAX_PIXELS``."""


def _npz(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 5, 6, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    save(file, x_train=pixels, y_train=labels, x_test=pixels[:3], y_test=labels[:3])
    return file.getvalue()


def _named_npz() -> bytes:
    file = io.BytesIO()
    grey = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    np.savez(file, x_train=grey, y_train=np.array([0, 1]), classes=np.array(["ant", "bee"]))
    return file.getvalue()


def _pth(legacy: bool) -> bytes:
    file = io.BytesIO()
    torch.save(ROWS, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def _table() -> bytes:
    """The same rows of a whole space, with a cell that is empty."""
    archs = [json.dumps(row["arch"] | {"num_heads": [3] * row["arch"]["depth"]}) for row in ROWS]
    frame = pd.DataFrame({"arch": archs, "kd_acc": [76.06, None, 75.0], "epochs": 300})
    return frame.to_csv(index=False).encode()


def _picture(suffix: str, mode: str = "RGB", **options: Any) -> bytes:
    rng = np.random.default_rng(0)
    channels = len(Image.new(mode, (1, 1)).getbands())
    deep = mode.startswith("I;16")
    pixels = rng.integers(0, 65536 if deep else 256, (24, 32, channels)).astype(
        np.uint16 if deep else np.uint8
    )
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    image.save(file, Image.registered_extensions()[suffix], exif=exif, **options)
    return file.getvalue()


def _frozen(path: Path) -> bytes:
    frozen_batch("digits", 4, img_size=8).save(path)
    return path.read_bytes()


def _read_npz(path: Path) -> None:
    dataset = load_dataset(path)
    _ = dataset.fingerprint
    for image, _ in dataset:
        image.load()


def _read_listing(path: Path) -> None:
    for image, _ in load_dataset("chaoyang", path.parent, split="train"):
        image.load()


def _read_annotations(path: Path) -> None:
    load_dataset("tiny-imagenet", path.parent.parent, split="val")


def _listing(folder: Path) -> bytes:
    records = []
    for label in range(3):
        Image.new("RGB", (4, 4)).save(folder / f"{label}.png")
        records.append({"name": f"{label}.png", "label": label})
    content = json.dumps(records).encode()
    (folder / "test.json").write_bytes(content)
    return content


def _annotations(folder: Path) -> bytes:
    (folder / "images").mkdir()
    lines = []
    for index in range(3):
        (folder.parent / "train" / f"n{index}" / "images").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(folder / "images" / f"val_{index}.JPEG")
        lines.append(f"val_{index}.JPEG\tn{index}\t0\t0\t62\t62\n")
    return "".join(lines).encode()


LOADERS: dict[str, tuple[str, Callable[[Path], bytes], Callable[[Path], object]]] = {
    "npz": ("mine.npz", lambda path: _npz(np.savez), _read_npz),
    "npz, packed": ("mine.npz", lambda path: _npz(np.savez_compressed), _read_npz),
    "npz, named": ("mine.npz", lambda path: _named_npz(), _read_npz),
    "frozen batch": ("batch.safetensors", _frozen, FrozenBatch.load),
    "truth": (
        "gt.json",
        lambda path: json.dumps({"autoformer": ROWS}).encode(),
        lambda path: load_vit_bench(path, "autoformer"),
    ),
    "truth, table": (
        "gt.csv",
        lambda path: _table(),
        lambda path: load_truth(path, "autoformer"),
    ),
    "truth, pickled": (
        "gt.pth",
        lambda path: _pth(False),
        lambda path: load_vit_bench(path, "autoformer"),
    ),
    "truth, old pickle": (
        "gt.pth",
        lambda path: _pth(True),
        lambda path: load_vit_bench(path, "autoformer"),
    ),
    "listing": ("train.json", lambda path: _listing(path.parent), _read_listing),
    "annotations": (
        "val/val_annotations.txt",
        lambda path: _annotations(path.parent),
        _read_annotations,
    ),
}
"""Name of the file, what is in it where it is whole, and what reads it."""

PICTURES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png": (".png", "RGB", {}),
    "png, 16 bits": (".png", "I;16", {}),
    "png, transparent": (".png", "RGBA", {}),
    "jpeg": (".jpg", "RGB", {}),
    "jpeg, progressive": (".jpg", "RGB", {"progressive": True}),
    "jpeg, grey": (".jpg", "L", {}),
    "gif": (".gif", "RGB", {}),
    "bmp": (".bmp", "RGB", {}),
    "ppm": (".ppm", "RGB", {}),
    "tiff": (".tif", "RGB", {}),
    "tiff, packed": (".tif", "RGB", {"compression": "tiff_lzw"}),
    "tiff, 16 bits": (".tif", "I;16", {}),
    "webp": (".webp", "RGBA", {}),
    "avif": (".avif", "RGB", {}),
    "jpeg 2000": (".jp2", "RGB", {}),
    "qoi": (".qoi", "RGB", {}),
}


@pytest.mark.parametrize("name", LOADERS)
def test_loaders(name: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_loader(name, tmp_path, fuzzing, count=60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADERS)
def test_loaders_at_length(name: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_loader(name, tmp_path, fuzzing, count=400, seed=1)


def _survey_loader(name: str, folder: Path, fuzzing: ModuleType, *, count: int, seed: int) -> None:
    file, make, load = LOADERS[name]
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    whole = make(path)
    path.write_bytes(whole)
    load(path)
    found = fuzzing.survey(load, path, fuzzing.mutations(whole, count, seed=seed))
    assert found.total() == count and found["BadFileError"] + found["ValueError"] > count / 4


@pytest.mark.parametrize("key", ["x_train", "y_train", "classes"])
def test_arrays_in_whole_archives(key: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_arrays(key, tmp_path, fuzzing, count=60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["x_train", "y_train", "classes"])
def test_arrays_in_whole_archives_at_length(key: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_arrays(key, tmp_path, fuzzing, count=400, seed=1)


def _survey_arrays(key: str, folder: Path, fuzzing: ModuleType, *, count: int, seed: int) -> None:
    """Damage that no checksum shows."""
    with zipfile.ZipFile(io.BytesIO(_named_npz())) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def packed(changed: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in {**members, f"{key}.npy": changed}.items():
                archive.writestr(name, content)
        return file.getvalue()

    changed = fuzzing.mutations(members[f"{key}.npy"], count, seed=seed)
    found = fuzzing.survey(_read_npz, folder / "mine.npz", map(packed, changed))
    assert found.total() == count and found["BadFileError"] > count / 4


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_picture(name, tmp_path, fuzzing, count=40, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_at_length(name: str, tmp_path: Path, fuzzing: ModuleType) -> None:
    _survey_picture(name, tmp_path, fuzzing, count=400, seed=1)


def _survey_picture(name: str, folder: Path, fuzzing: ModuleType, *, count: int, seed: int) -> None:
    suffix, mode, options = PICTURES[name]
    if suffix not in image_suffixes():
        pytest.skip(f"this Pillow reads no {suffix}")
    whole, path = _picture(suffix, mode, **options), folder / f"photo{suffix}"
    path.write_bytes(whole)
    read_image(path)
    found = fuzzing.survey(
        lambda path: ImageFiles([path], "photos")[0],
        path,
        fuzzing.mutations(whole, count, seed=seed),
        documented=(BadFileError,),
        memory=LARGEST_IMAGE,
    )
    assert found.total() == count and found["BadFileError"] > count / 20
