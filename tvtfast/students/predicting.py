"""Classify images with a trained student."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from tvtfast.data import eval_transform
from tvtfast.models import Student, load_student

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""What counts as an image in a folder."""


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
) -> Iterator[Prediction]:
    """Classify images as they were evaluated: bicubic resize to a square, and nothing else.

    Args:
        student: A student folder, or a student that was loaded.
        images: A folder, which is searched with all its subfolders in the order of names, one
            image, or several.
        top: Classes per image.
        batch_size: Images per pass.
        device: Default the GPU, else the CPU.

    Returns:
        One prediction per image, in order, batch by batch.

    Raises:
        FileNotFoundError: No such path, or a folder without images.
        ValueError: A file that is not an image.
    """
    loaded = student if isinstance(student, Student) else load_student(student)
    paths = _paths(images)
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return _predictions(loaded, paths, min(top, _num_classes(loaded)), batch_size, target)


@torch.no_grad()
def _predictions(
    student: Student, paths: list[Path], top: int, batch_size: int, device: torch.device
) -> Iterator[Prediction]:
    card, module = student.card, student.module.to(device)
    transform = eval_transform(card.img_size[0], card.normalization)
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        batch = torch.stack([transform(_read(path)) for path in part]).to(device)
        found = module(batch).softmax(dim=1).topk(top)
        for path, values, labels in zip(
            part, found.values.tolist(), found.indices.tolist(), strict=True
        ):
            names = tuple(card.classes[i] if card.classes else str(i) for i in labels)
            yield Prediction(path, tuple(labels), names, tuple(values))


def _paths(images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    if not isinstance(images, (str, os.PathLike)):
        return [path for image in images for path in _paths(image)]
    root = Path(images)
    if root.is_file():
        return [root]
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; give an image or a folder of images")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise FileNotFoundError(
            f"{root} holds no image; looked for files that end in {', '.join(SUFFIXES)}"
        )
    return found


def _read(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as an image ({error})") from error


def _num_classes(student: Student) -> int:
    return int(student.card.model_options["num_classes"])
