"""CIFAR-10 and CIFAR-100 through torchvision's readers."""

from __future__ import annotations

from pathlib import Path

from tvtfast.common.foreign import reading
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ArrayImages
from tvtfast.data.locate import Layout, locate

CIFAR10_LAYOUT = Layout(
    folders=("cifar-10-batches-py",),
    entries=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"),
    source="the archive cifar-10-python.tar.gz",
)
CIFAR100_LAYOUT = Layout(
    folders=("cifar-100-python",),
    entries=("train", "test", "meta"),
    source="the archive cifar-100-python.tar.gz",
)


def read_cifar10(path: Path | None, split: str) -> VisionDataset:
    """Read CIFAR-10 (32x32, 10 classes; 50,000 train, 10,000 test)."""
    return _read("cifar10", "CIFAR10", CIFAR10_LAYOUT, path, split)


def read_cifar100(path: Path | None, split: str) -> VisionDataset:
    """Read CIFAR-100 (32x32, 100 fine classes; 50,000 train, 10,000 test)."""
    return _read("cifar100", "CIFAR100", CIFAR100_LAYOUT, path, split)


def _read(
    name: str, reader_name: str, layout: Layout, path: Path | None, split: str
) -> VisionDataset:
    folder = locate(name, layout, path)
    ensure_torchvision()
    from torchvision import datasets

    # torchvision insists on the folder's usual name; an empty one reads the folder itself
    reader = type(reader_name, (getattr(datasets, reader_name),), {"base_folder": ""})
    with reading(folder, f"the published {name}", advice=f"extract {layout.source} again"):
        try:
            # torchvision compares MD5 sums with the published ones before it unpickles anything
            content = reader(folder, train=split == "train")
        except RuntimeError as error:
            raise ValueError("the MD5 sum of a file differs") from error
    return VisionDataset(
        ArrayImages(content.data, f"{name} {split}"),
        content.targets,
        content.classes,
        name=name,
        split=split,
    )
