"""A small run, as a function and as a program that tests can kill."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch

import tvtfast
from tvtfast import spaces
from tvtfast.data import VisionDataset, load_dataset
from tvtfast.distill import ProgressiveTokens, Recipe
from tvtfast.pipeline import RunResult
from tvtfast.spaces import AutoFormerSpace, VitasDeitSpace

SPACE = spaces.register(AutoFormerSpace("run-small", (16,), (11,), (2.0, 3.0), (2, 4)))
BUDGET = 3.5e4
SUBNETS = spaces.register(
    VitasDeitSpace("run-subnets", (16, 32), (12, 24), 3, 1, (2, 3), (36, 72), (20, 40))
)
TEACHER = Recipe(optimizer="sgd", lr=0.05, epochs=2, batch_size=32, augmentation="light")
STUDENT = Recipe(epochs=2, batch_size=32, augmentation="light")


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


OF_SYSTEM: dict[str, dict[str, Any]] = {
    "tvt": {
        "budget": BUDGET,
        "space": SPACE,
        "trials": 4,
        "teacher_arch": "resnet8",
        "teacher_recipe": TEACHER,
        "recipe": STUDENT,
    },
    "as-vit": {
        "budget": 1.5e5,
        "trials": 2,
        "recipe": replace(STUDENT, tokens=ProgressiveTokens()),
        "img_size": 32,
    },
    "vitas": {
        "budget": 1.6e4,
        "space": SUBNETS,
        "trials": 6,
        "superformer_recipe": STUDENT,
        "recipe": replace(STUDENT, drop_path=0.2),
    },
}


def run(folder: Any, system: str = "tvt", **changes: Any) -> RunResult:
    arguments = {
        "system": system,
        "test": part("test", 20),
        "device": "cpu",
        "patch_size": 8,
        **OF_SYSTEM[system],
    }
    return tvtfast.run(part("train", 64), output_dir=folder, **arguments | changes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(sys.argv[1], *sys.argv[2:])
