"""What suits a data set where the user says nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tvtfast.distill import STUDENT_RECIPE, TEACHER_RECIPE, Recipe
from tvtfast.supernet import SUPERFORMER_RECIPE

DIGITS_RECIPE = replace(STUDENT_RECIPE, epochs=16, batch_size=32, lr=1e-3, augmentation="light")
"""For students of ``digits``: images of 8 x 8 pixels need no flips and few epochs."""


@dataclass(frozen=True)
class Defaults:
    """Size, search and recipes of a run; unless stated, the published ones.

    Args:
        budget: Parameters of the student.
        strategy: Of the search; ``None`` for that of `tvtfast.search`.
        trials: As for `tvtfast.search`.
        teacher_arch: What `tvtfast.distill.train_teacher` is to train.
        teacher_recipe: How.
        superformer_recipe: How a superformer is trained.
        recipe: How students are trained, the baseline included.
        patch_size: Side of a patch in pixels; ``None`` for what suits the size of the images
            (`tvtfast.spaces.default_patch_size`).
    """

    budget: float = 6e6
    strategy: str | None = None
    trials: int | None = None
    teacher_arch: str = "resnet56"
    teacher_recipe: Recipe = TEACHER_RECIPE
    superformer_recipe: Recipe = SUPERFORMER_RECIPE
    recipe: Recipe = STUDENT_RECIPE
    patch_size: int | None = None
