"""What suits a data set where the user says nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tvtfast.distill import (
    DIGITS_TEACHER,
    DIGITS_TEACHER_RECIPE,
    STUDENT_RECIPE,
    TEACHER_RECIPE,
    Recipe,
)


@dataclass(frozen=True)
class Defaults:
    """Teacher and recipes of a run; unless stated, the published ones.

    Args:
        teacher_arch: What `tvtfast.distill.train_teacher` is to train.
        teacher_recipe: How.
        recipe: How students are trained, the baseline included.
        patch_size: Side of a patch in pixels; ``None`` for what suits the size of the images
            (`tvtfast.spaces.default_patch_size`).
    """

    teacher_arch: str = "resnet56"
    teacher_recipe: Recipe = TEACHER_RECIPE
    recipe: Recipe = STUDENT_RECIPE
    patch_size: int | None = None


_DIGITS = Defaults(
    teacher_arch=DIGITS_TEACHER,
    teacher_recipe=DIGITS_TEACHER_RECIPE,
    recipe=replace(STUDENT_RECIPE, epochs=16, batch_size=32, lr=1e-3, augmentation="light"),
    patch_size=8,
)


def defaults_for(dataset: str) -> Defaults:
    """The defaults of a data set by name.

    Those of ``digits`` are for two CPU cores and a quarter of an hour: images of 8 x 8 pixels shown
    as 32 x 32 need no more than 16 patches, no flips and few epochs. Every other data set gets the
    published recipes.
    """
    return _DIGITS if dataset == "digits" else Defaults()
