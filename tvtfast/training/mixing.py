"""Mixup and CutMix over the whole batch of a process."""

from __future__ import annotations

from typing import Any

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.data.seeding import local_rng
from tvtfast.training.loading import TrainingBatch
from tvtfast.training.processes import Team
from tvtfast.training.recipe import Recipe

_STREAM = 2


class Mixing:
    """``timm.data.Mixup`` by (seed, epoch, step, process).

    One share, and for CutMix one box, per batch and process; an image is mixed with its mirror
    place in the batch of the process, as is published practice. So a batch is the same in parts
    (`Recipe.accumulate`), but not in another number of processes.

    Args:
        recipe: Its ``mixup`` and ``cutmix``; where both are on, each has half of the batches.
        classes: Number of classes.
        seed: Of the draws.
        team: The processes.
    """

    def __init__(self, recipe: Recipe, classes: int, seed: int, team: Team) -> None:
        self.seed, self.team = seed, team
        self.mixup: Any = None
        if recipe.mixes:
            ensure_torchvision()
            from timm.data import Mixup

            self.mixup = Mixup(
                recipe.mixup, recipe.cutmix, label_smoothing=0.0, num_classes=classes
            )

    def __call__(self, batch: TrainingBatch, epoch: int, step: int) -> TrainingBatch:
        """The batch of a step, its labels now float32 ``[B, K]``; as it is where nothing is mixed.

        The images are mixed in place.
        """
        if self.mixup is None:
            return batch
        with local_rng(self.seed, epoch, step, self.team.rank, _STREAM):
            images, labels = self.mixup(batch.images, batch.labels)
        return batch._replace(images=images, labels=labels)
