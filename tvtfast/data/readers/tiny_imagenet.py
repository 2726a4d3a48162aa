"""Tiny-ImageNet: 200 ImageNet classes at 64x64 pixels."""

from __future__ import annotations

from pathlib import Path

from tvtfast.common.foreign import BadFileError, reading
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import Layout, locate

_ANNOTATIONS = "val/val_annotations.txt"
TINY_IMAGENET_LAYOUT = Layout(
    folders=("tiny-imagenet-200",),
    entries=("train", "val/images", _ANNOTATIONS),
    source="the archive tiny-imagenet-200.zip",
)


def read_tiny_imagenet(path: Path | None, split: str) -> VisionDataset:
    """Read Tiny-ImageNet (200 classes; 100,000 train, 10,000 val; its test split has no labels).

    Args:
        path: The folder with ``train/<wnid>/images/``, ``val/images/`` and
            ``val/val_annotations.txt``, or the one around it.
        split: ``"train"`` or ``"val"``.

    Returns:
        Classes are the WordNet ids, sorted. Files of one class are in name order.
    """
    folder = locate("tiny-imagenet", TINY_IMAGENET_LAYOUT, path)
    wnids = sorted(entry.name for entry in (folder / "train").iterdir() if entry.is_dir())
    label_of = {wnid: label for label, wnid in enumerate(wnids)}
    is_train = split == "train"
    images = (_train_images if is_train else _val_images)(folder, label_of)
    listed_in = folder / "train" if is_train else folder / _ANNOTATIONS
    return VisionDataset(
        ImageFiles([image for image, _ in images], f"tiny-imagenet, {listed_in}"),
        [label for _, label in images],
        wnids,
        name="tiny-imagenet",
        split=split,
    )


def _train_images(folder: Path, label_of: dict[str, int]) -> list[tuple[Path, int]]:
    images: list[tuple[Path, int]] = []
    for wnid, label in label_of.items():
        files = sorted((folder / "train" / wnid / "images").glob("*.JPEG"))
        if not files:
            raise ValueError(
                f"{folder / 'train' / wnid / 'images'} holds no .JPEG file; extract "
                f"{TINY_IMAGENET_LAYOUT.source} again"
            )
        images.extend((file, label) for file in files)
    return images


def _val_images(folder: Path, label_of: dict[str, int]) -> list[tuple[Path, int]]:
    annotations = folder / _ANNOTATIONS
    with reading(annotations, "a list of images and classes", advice="extract the archive again"):
        lines = annotations.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise BadFileError(f"{annotations} lists no image; extract the archive again")
    images: list[tuple[Path, int]] = []
    for number, line in enumerate(lines, start=1):
        file, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in label_of:
            raise BadFileError(
                f"{annotations}, line {number}: {line!r} does not give a file name and, after a "
                f"tab, one of the {len(label_of)} classes in train/"
            )
        images.append((folder / "val" / "images" / file, label_of[wnid]))
    return images
