"""A small tournament, as a function and as a program that tests can kill."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import torch

import tvtfast
from tvtfast import spaces
from tvtfast.data import VisionDataset, load_dataset
from tvtfast.distill import Recipe
from tvtfast.pipeline import TournamentResult
from tvtfast.scoring import ScoreTable
from tvtfast.spaces import AutoFormerSpace

SPACE = spaces.register(
    AutoFormerSpace("tournament-small", (16, 24), (2, 3, 4, 5), (2.0, 3.0), (2, 4))
)
OPTIONS = {"num_classes": 10, "img_size": 16, "patch_size": 8}
RECIPE = Recipe(epochs=8, batch_size=32, lr=3e-3, augmentation="light")


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


@cache
def table(candidates: int = 30) -> ScoreTable:
    """Scores that look at no image."""
    archs = SPACE.sample(candidates, 0)
    return tvtfast.score(
        archs, space=SPACE, proxies=("weight_norm", "l2_norm"), device="cpu", **OPTIONS
    )


def play(folder: Any, **changes: Any) -> TournamentResult:
    arguments = {
        "finalists": 6,
        "space": SPACE,
        "recipe": RECIPE,
        "test": part("test", 40),
        "device": "cpu",
        "patch_size": 8,
    }
    given = changes.pop("table", None) or table()
    return tvtfast.tournament(
        given,
        changes.pop("train", None) or part("train", 100),
        output_dir=folder,
        **arguments | changes,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    play(sys.argv[1])
