"""A small training, as a function and as a program that tests can kill or start twice."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

import tvtfast
from tvtfast import spaces
from tvtfast.data import VisionDataset, load_dataset
from tvtfast.distill import Distillation, Recipe, TrainedStudent, distill
from tvtfast.models import CifarResNet, Teacher
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace

SPACE = spaces.register(AutoFormerSpace("test-small", (16,), (3,), (2.0,), (2,)))
spaces.register(AutoFormerSpace("test-relative", (16,), (2,), (2.0,), (2,), True))
ARCH = AutoFormerArch(16, 3, (2.0,) * 3, (2,) * 3)
RECIPE = {"epochs": 3, "batch_size": 32, "augmentation": "light", "warmup_epochs": 1}


def part(split: str, images: int) -> VisionDataset:
    digits = load_dataset("digits", split=split)
    chosen = [digits.images[index] for index in range(images)]
    return VisionDataset(
        chosen,
        digits.labels[:images],
        digits.classes,
        name="digits-part",
        split=split,
        img_size=16,
    )


def teacher(classes: int = 10) -> Teacher:
    module = tvtfast.initialize_(CifarResNet(8, classes), seed=1)
    return tvtfast.load_teacher(module, input_size=16)


def train(folder: Any, *, plain: bool = False, **changes: Any) -> TrainedStudent:
    """Two dozen steps; ``changes`` are those of recipe, distillation and model options."""
    recipe = {n: changes.pop(n) for n in list(changes) if n in Recipe.__dataclass_fields__}
    how = {n: changes.pop(n) for n in list(changes) if n in Distillation.__dataclass_fields__}
    options = {} if "student" in changes else {"patch_size": 8}
    return distill(
        changes.pop("student", ARCH),
        part("train", changes.pop("images", 100)),
        None if plain else changes.pop("teacher", None) or teacher(),
        test=changes.pop("test", None) or part("test", 30),
        space=SPACE,
        output_dir=folder,
        recipe=Recipe(**RECIPE | recipe),
        how=Distillation(**how) if how else None,
        device=changes.pop("device", "cpu"),
        keep_state=changes.pop("keep_state", True),
        **options | changes,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1], **json.loads(sys.argv[2]))
