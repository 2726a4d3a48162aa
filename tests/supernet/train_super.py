"""A small superformer's training, as a function and as a program that tests kill or start twice."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from tvtfast import spaces
from tvtfast.data import VisionDataset, load_dataset
from tvtfast.distill import Recipe
from tvtfast.spaces import StageChoices, VitasCellSpace, VitasDeitSpace, VitasTwinsSpace
from tvtfast.supernet import FinishedTraining, train_superformer

WIDTHS = (12, 18, 24)
INNER = (36, 54, 72)
DEIT = spaces.register(
    VitasDeitSpace("test-super-deit", (14, 16, 32), WIDTHS, 2, 1, (2, 3), INNER, (20, 30, 40))
)
CELL = spaces.register(
    VitasCellSpace(
        "test-super-cell",
        (16,),
        WIDTHS,
        2,
        2,
        (2, 3),
        INNER,
        (20, 30, 40),
        contained_in="test-super-deit",
    )
)
TWINS = spaces.register(
    VitasTwinsSpace(
        "test-super-twins",
        (StageChoices(WIDTHS, 2, ("local", "global"), (2, 3), INNER, (20, 30, 40)),) * 4,
    )
)
OPTIONS = {"img_size": 32, "patch_size": 8}
RECIPE = {
    "epochs": 2,
    "batch_size": 26,
    "augmentation": "light",
    "warmup_epochs": 1,
    "lr": 1e-3,
    "cutmix": 1.0,
}


def part(split: str, images: int) -> VisionDataset:
    digits = load_dataset("digits", split=split)
    chosen = [digits.images[index] for index in range(images)]
    labels = digits.labels[:images]
    return VisionDataset(
        chosen, labels, digits.classes, name="digits-part", split=split, img_size=32
    )


def train(folder: Any, **changes: Any) -> FinishedTraining:
    """A dozen steps; ``changes`` are those of recipe and training."""
    recipe = {n: changes.pop(n) for n in list(changes) if n in Recipe.__dataclass_fields__}
    return train_superformer(
        changes.pop("space", "test-super-deit"),
        part("train", changes.pop("images", 100)),
        test=part("test", 30),
        output_dir=folder,
        recipe=Recipe(**RECIPE | recipe),
        device=changes.pop("device", "cpu"),
        keep_state=changes.pop("keep_state", True),
        **OPTIONS | changes,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1], **json.loads(sys.argv[2]))
