"""The teacher of the embedded example, trained once and kept."""

from __future__ import annotations

import contextlib

from tvtfast.data import load_dataset
from tvtfast.distill.training import train_cifar_resnet
from tvtfast.files import cache_dir
from tvtfast.models import Teacher, load_teacher
from tvtfast.models.checkpoint import CheckpointError

_DEPTH, _EPOCHS, _INPUT_SIZE = 20, 6, 32


def digits_teacher(*, progress: bool = False) -> Teacher:
    """A ResNet-20 trained on scikit-learn's handwritten digits.

    Trained on first use (some 20 seconds on two CPU cores) and read from the cache afterwards
    (`tvtfast.files.cache_dir`). A damaged cache entry is replaced.
    """
    folder = cache_dir() / "teachers" / f"digits-resnet{_DEPTH}-e{_EPOCHS}-v1"
    if folder.exists():
        with contextlib.suppress(CheckpointError, FileNotFoundError):
            return load_teacher(folder)
        folder.rename(folder.with_name(f"{folder.name}.damaged"))
    train, test = load_dataset("digits", split="train"), load_dataset("digits", split="test")
    module, accuracy = train_cifar_resnet(
        train, test, depth=_DEPTH, epochs=_EPOCHS, img_size=_INPUT_SIZE, progress=progress
    )
    teacher = Teacher(
        module,
        name=f"digits_resnet{_DEPTH}",
        input_size=_INPUT_SIZE,
        normalization=train.normalization,
    )
    with contextlib.suppress(FileExistsError):
        teacher.save(folder, dataset="digits", accuracy=accuracy)
    return teacher
