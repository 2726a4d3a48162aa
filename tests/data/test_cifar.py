"""CIFAR layouts, through torchvision's reader with the sums of generated files."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data import DatasetNotFoundError, load_dataset


def _write(path: Path, content: dict[str, Any]) -> str:
    data = pickle.dumps(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()


def _batch(count: int, labels_key: str) -> dict[str, Any]:
    pixels = np.arange(count * 3 * 32 * 32).reshape(count, -1).astype(np.uint8)
    return {"data": pixels, labels_key: list(range(count))}


@pytest.fixture
def cifar100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    ensure_torchvision()
    from torchvision.datasets import CIFAR100

    folder = tmp_path / "cifar-100-python"
    sums = {name: _write(folder / name, _batch(4, "fine_labels")) for name in ("train", "test")}
    meta = _write(folder / "meta", {"fine_label_names": ["ape", "bat", "cow", "dog"]})
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": meta})
    return folder


@pytest.mark.parametrize("spelling", ["cifar100", "CIFAR-100", "cifar_100", "C100"])
def test_name_in_any_spelling(cifar100: Path, spelling: str) -> None:
    dataset = load_dataset(spelling, cifar100)
    assert (dataset.name, dataset.split, len(dataset)) == ("cifar100", "train", 4)
    assert dataset.classes == ("ape", "bat", "cow", "dog")
    assert dataset.labels.tolist() == [0, 1, 2, 3]


def test_folder_itself_folder_around_it_and_renamed_folder(cifar100: Path) -> None:
    renamed = Path(shutil.copytree(cifar100, cifar100.parent / "elsewhere"))
    for path in (cifar100, cifar100.parent, renamed):
        assert len(load_dataset("cifar100", path, split="eval")) == 4


def test_path_alone_is_recognised(cifar100: Path) -> None:
    assert load_dataset(cifar100.parent).name == "cifar100"
    assert load_dataset(str(cifar100)).name == "cifar100"


def test_default_root_is_data(cifar100: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(cifar100, cifar100.parent / "data" / "cifar-100-python")
    monkeypatch.chdir(cifar100.parent)
    assert load_dataset("cifar100").name == "cifar100"


def test_image_keeps_channel_order(cifar100: Path) -> None:
    image, label = load_dataset("cifar100", cifar100)[0]
    expected = np.arange(3 * 32 * 32).reshape(3, 32, 32).astype(np.uint8).transpose(1, 2, 0)
    assert image.mode == "RGB"
    assert label == 0
    assert np.array_equal(np.asarray(image), expected)


def test_cifar10_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_torchvision()
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    names = [f"data_batch_{number}" for number in range(1, 6)]
    train = [[name, _write(folder / name, _batch(2, "labels"))] for name in names]
    test = [["test_batch", _write(folder / "test_batch", _batch(2, "labels"))]]
    meta = _write(folder / "batches.meta", {"label_names": ["plane", "car"]})
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", test)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})
    assert len(load_dataset("cifar10", tmp_path)) == 10
    assert len(load_dataset("cifar10", tmp_path, split="test")) == 2


def test_changed_file_is_refused_before_it_is_unpickled(cifar100: Path) -> None:
    (cifar100 / "train").write_bytes(b"not what was published")
    with pytest.raises(ValueError, match="MD5 sum.*extract the archive cifar-100-python.tar.gz"):
        load_dataset("cifar100", cifar100)


def test_missing_set_says_what_where_and_how(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar-100-python" / "train").touch()
    with pytest.raises(DatasetNotFoundError) as raised:
        load_dataset("cifar100", tmp_path)
    message = str(raised.value)
    assert isinstance(raised.value, FileNotFoundError)
    assert f"{tmp_path / 'cifar-100-python'}: has no test, meta" in message
    assert f"{tmp_path}: has no train, test, meta" in message
    assert "cifar-100-python.tar.gz" in message
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        load_dataset("cifar100", tmp_path / "nowhere")


def test_folder_with_two_sets_asks_which(cifar100: Path) -> None:
    (cifar100.parent / "chaoyang").mkdir()
    for split in ("train", "test"):
        (cifar100.parent / "chaoyang" / f"{split}.json").write_text("[]")
    with pytest.raises(ValueError, match=r"holds cifar100, chaoyang; name one"):
        load_dataset(cifar100.parent)
