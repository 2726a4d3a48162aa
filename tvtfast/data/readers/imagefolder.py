"""Your own images in one folder per class."""

from __future__ import annotations

from pathlib import Path

from tvtfast.data.dataset import VisionDataset
from tvtfast.data.folders import read_class_folders
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import DatasetNotFoundError


def read_imagefolder(path: Path | None, split: str) -> VisionDataset:
    """Read ``<split>/<class>/**`` or, where no folder is named after a split, ``<class>/**``.

    Classes are the folders of the training split that hold images, sorted by name, for every split;
    files are in path order. ``split="test"`` reads the test split, or the validation split where
    there is no other; the ``split`` of the result says which. A folder of classes without splits is
    all ``"train"``. What was found and left out is logged, see `tvtfast.data.DataReport`.

    Args:
        path: The folder with ``train/`` (and ``val/``, ``test/``) in any usual spelling, or with
            one folder per class.
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
    found = read_class_folders(path)
    found.report.say()
    if split == "test" and "test" not in found.images and "val" in found.images:
        split = "val"
    if split not in found.images:
        raise ValueError(
            f"{path} has no split {split!r}; it has {', '.join(found.images)}; put about a fifth "
            f"of the images of every class into {path / split}/<class>/, and the others into "
            f"{path / 'train'}/<class>/"
        )
    images = found.images[split]
    return VisionDataset(
        ImageFiles([file for file, _ in images], f"{path} {split}"),
        [label for _, label in images],
        found.classes,
        name=path.resolve().name,
        split=split,
        report=found.report,
    )
