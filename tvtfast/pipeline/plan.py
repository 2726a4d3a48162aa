"""Everything a run needs to know, with nothing left open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common.hashing import fingerprint
from tvtfast.data import VisionDataset
from tvtfast.distill import Distillation
from tvtfast.models import Teacher
from tvtfast.pipeline.defaults import Defaults
from tvtfast.scoring.executors import Executor
from tvtfast.spaces import AsViTSpace, Constraints, ModelOptions, Space, default_patch_size

LOWEST_SHARE = 0.75
"""A search within the budget looks at architectures from this share of it up to all of it."""

_WINDOWED_SIDE = 64
"""Least side of images for As-ViT: at 32 pixels its last stage is a single token."""

TeacherSource = str | os.PathLike[str] | nn.Module | Teacher


@dataclass(frozen=True, eq=False)
class Plan:
    """What `tvtfast.pipeline.run` was asked for, with defaults filled in.

    Args:
        train: Images to train on and to search with.
        held_out: Images that epochs are chosen by; ``None`` for the last epoch.
        test: Images that are read once per network, at the end.
        search_split: The share that ``held_out`` was asked for as.
        budget: Parameters of the student.
        source: What the teacher is loaded from; ``None`` for one that is trained, or none at all.
        given: The teacher that ``source`` names.
        chosen: Defaults of the system for the data set, with what was asked for in their place.
        finalists: Candidates of a tournament; ``None`` for the winner of the search alone.
        train_hours: Time for its trainings; ``None`` for the epochs of the recipe.
        executor: Who scores candidates and trains finalists; no result depends on how many.
    """

    folder: Path
    train: VisionDataset
    held_out: VisionDataset | None
    test: VisionDataset
    search_split: float
    budget: float
    space: Space[Any]
    source: TeacherSource | None
    given: Teacher | None
    chosen: Defaults
    how: Distillation
    options: Mapping[str, Any]
    compare: bool
    seed: int
    device: torch.device | str | None
    workers: int
    progress: bool
    finalists: int | None = None
    train_hours: float | None = None
    executor: Executor | int | str | None = None

    @property
    def constraints(self) -> Constraints:
        """The window of a search within the budget."""
        return {"params": self.window}

    @property
    def window(self) -> tuple[float, float]:
        """Parameters of the architectures that a search within the budget looks at."""
        return LOWEST_SHARE * self.budget, self.budget

    @property
    def training(self) -> dict[str, Any]:
        """What all trainings have in common, as keyword arguments."""
        return {
            "test": self.test,
            "held_out": self.held_out,
            "search_split": self.search_split,
            "seed": self.seed,
            "device": self.device,
            "workers": self.workers,
            "progress": self.progress,
            "keep_state": True,
        }

    def settings(self) -> dict[str, Any]:
        """What the results of every system depend on, as plain values."""
        parts = [part for part in (self.train, self.held_out, self.test) if part is not None]
        return {
            "data set": self.train.name,
            "search split": self.search_split,
            "images": [len(part) for part in parts],
            "labels": fingerprint(*(part.labels for part in parts)),
            "pixels": [part.fingerprint for part in parts],
            "budget": self.budget,
            "space": self.space.name,
            "strategy": self.chosen.strategy,
            "trials": self.chosen.trials,
            "recipe": asdict(self.chosen.recipe),
            "model options": dict(self.options),
            "seed": self.seed,
            "finalists": self.finalists,
            "train hours": self.train_hours,
        }


def model_options(
    train: VisionDataset,
    space: Space[Any],
    how: Distillation,
    patch_size: int | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Options that candidates are searched and trained with; those of the caller win.

    Args:
        train: The training images.
        space: Images for As-ViT are enlarged to 64 pixels where they are smaller.
        how: Distilling logits adds a distillation token.
        patch_size: Default side of a patch; ``None`` for what suits the size of the images.
        given: Options of the caller.

    Raises:
        TypeError: An unknown option.
        ValueError: Images that are not square, or options that do not go together.
    """
    least = _WINDOWED_SIDE if isinstance(space, AsViTSpace) else 1
    side = given.get("img_size", max(train.img_size, least))
    if not isinstance(side, int):
        raise ValueError(f"img_size is {side!r}; images are resized to squares, give one side")
    options = {
        "num_classes": train.num_classes,
        "img_size": side,
        "patch_size": patch_size or default_patch_size(side),
        "distilled": how.logits is not None,
        **given,
    }
    return asdict(ModelOptions.of(**options)) | {"img_size": side}
