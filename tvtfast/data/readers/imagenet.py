"""ImageNet-1k as it is unpacked everywhere: ``train/<wnid>/``, ``val/<wnid>/``."""

from __future__ import annotations

import re
from pathlib import Path

from tvtfast.common.foreign import BadFileError
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import Layout, locate

_WNID = re.compile(r"n\d{8}")
IMAGENET_LAYOUT = Layout(
    folders=("imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"),
    entries=("train", "val"),
    source="the ILSVRC2012 archives of training and validation images, one folder per WordNet id",
)


def read_imagenet(path: Path | None, split: str) -> VisionDataset:
    """Read ImageNet, or any part of its classes.

    Args:
        path: The folder with ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``, or the one around
            it.
        split: ``"train"`` or ``"val"``.

    Returns:
        Classes are those of ``train/`` in the order of WordNet ids, as every published model has
        them, named such as ``n01440764 tench``. Files of one class are in name order.

    Raises:
        DatasetNotFoundError: It is not there.
        BadFileError: Folders that are no WordNet ids, or a class without images.
    """
    folder = locate("imagenet", IMAGENET_LAYOUT, path)
    wnids = _wnids(folder / "train")
    if (found := _wnids(folder / split)) != wnids:
        odd = sorted(set(wnids) ^ set(found))
        raise BadFileError(
            f"{folder / 'train'} and {folder / split} have different classes ({len(wnids)} and "
            f"{len(found)}; first: {odd[0]}). Validation images as they are extracted lie in no "
            "folders: move each into that of its WordNet id"
        )
    images: list[tuple[Path, int]] = []
    for label, wnid in enumerate(wnids):
        place = folder / split / wnid
        files = sorted(file for file in place.iterdir() if file.suffix.lower() in (".jpeg", ".jpg"))
        if not files:
            raise BadFileError(f"{place} holds no .JPEG file; extract the archive again")
        images.extend((file, label) for file in files)
    return VisionDataset(
        ImageFiles([file for file, _ in images], f"imagenet, {folder / split}"),
        [label for _, label in images],
        _names(wnids),
        name="imagenet",
        split=split,
    )


def _wnids(folder: Path) -> list[str]:
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    odd = next((name for name in found if not _WNID.fullmatch(name)), None)
    if odd is not None:
        raise BadFileError(
            f"{folder / odd} is no folder of a WordNet id such as n01440764; name your own folders "
            "of images by their path: --data-set PATH"
        )
    return found


def _names(wnids: list[str]) -> list[str]:
    """WordNet ids with what timm says that they mean, where it is one of the 1,000."""
    ensure_torchvision()
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    known = set(info.label_names())
    return [
        f"{wnid} {info.label_name_to_description(wnid).split(',')[0]}" if wnid in known else wnid
        for wnid in wnids
    ]
