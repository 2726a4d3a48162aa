"""Chaoyang: colon histopathology patches in four classes."""

from __future__ import annotations

import json
from pathlib import Path

from tvtfast.common.foreign import reading
from tvtfast.data.dataset import VisionDataset
from tvtfast.data.images import ImageFiles
from tvtfast.data.locate import Layout, locate

CHAOYANG_LAYOUT = Layout(
    folders=("chaoyang", "Chaoyang", "chaoyang-data"),
    entries=("train.json", "test.json"),
    source="the Chaoyang archive (HSA-NRL: train/, test/, train.json, test.json)",
)

CLASSES = ("normal", "serrated", "adenocarcinoma", "adenoma")


def read_chaoyang(path: Path | None, split: str) -> VisionDataset:
    """Read Chaoyang (4 classes; 4,021 train, 2,139 test patches of 512x512 pixels).

    Args:
        path: The folder with ``train.json`` and ``test.json`` (lists of records with ``name``, the
            image file relative to the folder, and ``label``, 0..3), or the one around it.
        split: ``"train"`` or ``"test"``.
    """
    folder = locate("chaoyang", CHAOYANG_LAYOUT, path)
    listing = folder / f"{split}.json"
    what = "a JSON list of records with 'name' and 'label'"
    with reading(listing, what, advice=f"get {CHAOYANG_LAYOUT.source} again"):
        records = json.loads(listing.read_text(encoding="utf-8"))
        labels = [record["label"] for record in records]
        if not labels:
            raise ValueError("there is no image")
        for index, label in enumerate(labels):
            if type(label) is not int:
                raise ValueError(f"a label is not an integer: {label!r}")
            if not 0 <= label < len(CLASSES):
                raise ValueError(
                    f"the label at index {index} is {label}; allowed is 0..{len(CLASSES) - 1}"
                )
        images = ImageFiles([folder / record["name"] for record in records], str(listing))
    return VisionDataset(
        images,
        labels,
        CLASSES,
        name="chaoyang",
        split=split,
    )
