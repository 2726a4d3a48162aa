"""Your own images in one folder per class."""

from __future__ import annotations

from pathlib import Path

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import DatasetNotFoundError

_SPLITS = ("train", "val", "test")


def read_imagefolder(path: Path | None, split: str) -> VisionDataset:
    """Read ``<split>/<class>/**`` or, where no folder is named after a split, ``<class>/**``.

    Classes are the folders of the training split, sorted by name, for every split; files are in
    path order. ``split="test"`` reads ``test/``, or ``val/`` where there is no ``test/``; the
    ``split`` of the result says which. A folder of classes without splits is all ``"train"``.

    Args:
        path: The folder with ``train/`` (and ``val/``, ``test/``), or with one folder per class.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        Its name is the name of the folder.
    """
    if path is None:
        raise ValueError("imagefolder needs path: the folder with train/<class>/ or <class>/")
    if not path.is_dir():
        raise DatasetNotFoundError(
            f"imagefolder: {path} is not a folder; give one with train/<class>/ or <class>/ in it"
        )
    folders = _split_folders(path)
    if split == "test" and "test" not in folders and "val" in folders:
        split = "val"
    if split not in folders:
        raise ValueError(f"{path} has no split {split!r}; it has {', '.join(folders)}")
    ensure_torchvision()
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    try:
        classes, label_of = find_classes(folders["train"])
        strangers = sorted(set(find_classes(folders[split])[0]) - set(classes))
        images = make_dataset(
            folders[split], label_of, IMG_EXTENSIONS, allow_empty=split != "train"
        )
    except FileNotFoundError as error:
        raise ValueError(f"{path}, split {split!r}: {error}") from error
    if strangers:
        raise ValueError(
            f"{folders[split]} has classes that {folders['train']} has not: {', '.join(strangers)}"
        )
    return VisionDataset(
        ImageFiles([Path(file) for file, _ in images], f"{path} {split}"),
        [label for _, label in images],
        classes,
        name=path.resolve().name,
        split=split,
    )


def _split_folders(path: Path) -> dict[str, Path]:
    folders = {split: path / split for split in _SPLITS if (path / split).is_dir()}
    if folders and "train" not in folders:
        raise ValueError(
            f"{path} has {', '.join(folders)} but no train; the classes are those of train/<class>/"
        )
    return folders or {"train": path}
