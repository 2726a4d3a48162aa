"""The teacher of the embedded example, trained once and kept."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from tvtfast.common.files import cache_dir
from tvtfast.common.run_folder import is_abandoned
from tvtfast.distill.teacher import train_teacher
from tvtfast.models import Teacher, load_teacher
from tvtfast.models.checkpoint import CheckpointError
from tvtfast.training.recipe import TEACHER_RECIPE

DIGITS_TEACHER = "resnet20"
"""What `train_teacher` trains on digits."""
DIGITS_TEACHER_RECIPE = replace(TEACHER_RECIPE, epochs=6, batch_size=64, augmentation="light")
"""How: images of 8 x 8 pixels need no flips and few epochs."""


def digits_teacher(*, progress: bool = False) -> Teacher:
    """A ResNet-20 trained on scikit-learn's handwritten digits: all training images, and the last
    epoch, so that its accuracy on the test images was chosen by nothing.

    Trained on first use (some 20 seconds on two CPU cores) and read from the cache afterwards
    (`tvtfast.common.files.cache_dir`). A damaged cache entry is replaced.
    """
    teachers = cache_dir() / "teachers"
    folder = teachers / f"digits-{DIGITS_TEACHER}-e{DIGITS_TEACHER_RECIPE.epochs}-v3"
    if folder.exists():
        with contextlib.suppress(CheckpointError, FileNotFoundError):
            return load_teacher(folder)
        damaged = folder.with_name(f"{folder.name}.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        folder.rename(damaged)
    teachers.mkdir(parents=True, exist_ok=True)
    for left in teachers.glob("training-*"):
        if is_abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    training = Path(tempfile.mkdtemp(prefix="training-", dir=teachers))
    try:
        train_teacher(
            DIGITS_TEACHER,
            "digits",
            output_dir=training,
            search_split=0,
            recipe=DIGITS_TEACHER_RECIPE,
            progress=progress,
        )
        with contextlib.suppress(OSError):  # another process was faster
            training.rename(folder)
    finally:
        shutil.rmtree(training, ignore_errors=True)
    return load_teacher(folder)
