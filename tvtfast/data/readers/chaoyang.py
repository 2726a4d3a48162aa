"""Chaoyang: colon histopathology patches in four classes."""

from __future__ import annotations

import json
from pathlib import Path

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
    try:
        records = json.loads(listing.read_text(encoding="utf-8"))
        names = [str(record["name"]) for record in records]
        labels = [record["label"] for record in records]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{listing} is not a JSON list of records with 'name' and 'label' "
            f"({type(error).__name__}: {error}); extract the archive again"
        ) from error
    if not all(type(label) is int for label in labels):
        raise ValueError(f"{listing}: a label is not an integer; allowed is 0..{len(CLASSES) - 1}")
    return VisionDataset(
        ImageFiles([folder / name for name in names], f"chaoyang {split}"),
        labels,
        CLASSES,
        name="chaoyang",
        split=split,
    )
