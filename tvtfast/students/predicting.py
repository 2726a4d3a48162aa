"""Classify images with a trained student."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tvtfast.common import checks
from tvtfast.common.foreign import BadFileError
from tvtfast.common.machine import as_device
from tvtfast.data import read_image
from tvtfast.data.folders import find_images
from tvtfast.data.pixels import image_suffixes
from tvtfast.data.report import listed
from tvtfast.models import Student, load_student
from tvtfast.students.inputs import input_transform

logger = logging.getLogger("tvtfast.data")


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image.

    Args:
        path: The image.
        labels: From the likeliest on.
        classes: Their names; the labels as text where the student has no names.
        probabilities: Their probabilities, in 0..1.
    """

    path: Path
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict(
    student: str | os.PathLike[str] | Student,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    top: int = 1,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    on_unreadable: Callable[[Path, Exception], None] | None = None,
) -> Iterator[Prediction]:
    """Classify images as they were evaluated: bicubic resize to a square, and nothing else.

    Images become pixels as in training, see `tvtfast.data.read_image`.

    Args:
        student: A student folder, or a student that was loaded, which stays as it is.
        images: A folder, which is searched with all its subfolders as training searches them, in
            the order of paths; one image; or several of both.
        top: Classes per image; all of them where the student has fewer.
        batch_size: Images per pass.
        device: Default the GPU, else the CPU.
        on_unreadable: Called with the path of an image that cannot be read and the error, which
            names it; the others are classified all the same. ``None``: the error is raised.

    Returns:
        One prediction per image, in order, batch by batch.

    Raises:
        FileNotFoundError: No such path, or a folder without images.
        BadFileError: A file that is not an image; as the predictions are asked for.
        OSError: A file or folder that this user may not read.
        ValueError: ``top`` or ``batch_size`` is below 1.
    """
    checks.whole("top", top, least=1)
    checks.whole("batch_size", batch_size, least=1)
    target = as_device(device)
    paths = _paths(images)
    if isinstance(student, Student):
        loaded = Student(copy.deepcopy(student.module).eval(), student.card)
    else:
        loaded = load_student(student)
    top = min(top, _num_classes(loaded))
    return _predictions(loaded, paths, top, batch_size, target, on_unreadable)


@torch.no_grad()
def _predictions(
    student: Student,
    paths: list[Path],
    top: int,
    batch_size: int,
    device: torch.device,
    on_unreadable: Callable[[Path, Exception], None] | None,
) -> Iterator[Prediction]:
    card, module = student.card, student.module.to(device)
    transform = input_transform(card)
    for start in range(0, len(paths), batch_size):
        part: list[tuple[Path, Tensor]] = []
        for path in paths[start : start + batch_size]:
            try:
                part.append((path, transform(read_image(path))))
            except (BadFileError, OSError) as error:
                if on_unreadable is None:
                    raise
                on_unreadable(path, error)
        if not part:
            continue
        batch = torch.stack([pixels for _, pixels in part]).to(device)
        found = module(batch).softmax(dim=1).topk(top)
        for (path, _), values, labels in zip(
            part, found.values.tolist(), found.indices.tolist(), strict=True
        ):
            names = tuple(card.classes[i] if card.classes else str(i) for i in labels)
            yield Prediction(path, tuple(labels), names, tuple(values))


def _paths(images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(images, (str, os.PathLike)):
        return [path for image in images for path in _paths(image)]
    root = Path(images)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; give an image or a folder of images")
    if not root.is_dir():
        return [root]
    found, left_out = find_images(root)
    left = f"; left out: {listed(left_out)}" if left_out else ""
    if not found:
        raise FileNotFoundError(
            f"{root} holds no image{left}; looked for files that end in "
            f"{', '.join(image_suffixes())}"
        )
    logger.info("%s: %s image%s%s", root, f"{len(found):,}", "s" if len(found) > 1 else "", left)
    return found


def _num_classes(student: Student) -> int:
    return int(student.card.model_options["num_classes"])
