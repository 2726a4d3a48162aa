"""How good a trained student or teacher is on a labelled data set, in one pass."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tvtfast.common import checks
from tvtfast.common.machine import as_device
from tvtfast.common.normalization import Normalization
from tvtfast.data import VisionDataset, eval_transform, load_dataset
from tvtfast.models import Student, Teacher, load_student, load_teacher, temporary_mode
from tvtfast.models.teacher_folder import CARD as TEACHER_CARD

BINS = 15
"""Of the calibration error."""

_TOP = 5


@dataclass(frozen=True)
class ClassAccuracy:
    """How good a model is on one class.

    Args:
        name: The class.
        images: How many there are.
        accuracy: Top-1 accuracy in percent.
    """

    name: str
    images: int
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    Args:
        dataset: Name of the data set.
        split: Its split.
        images: Number of images.
        accuracy: Top-1 accuracy in percent.
        top5: Top-5 accuracy in percent; ``None`` where there are no more than five classes.
        calibration_error: See `calibration_error`.
        classes: One entry per class that has images.
        names: Classes of the model, which rows and columns of ``confusion`` are of.
        confusion: int64 ``[K, K]``: images of the class of the row that were taken for that of the
            column.
        images_per_second: Of the passes alone, images being on the device, after one to warm up.
        batch_size: Images per pass.
        device: Where they ran.
    """

    dataset: str
    split: str
    images: int
    accuracy: float
    top5: float | None
    calibration_error: float
    classes: tuple[ClassAccuracy, ...]
    names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    images_per_second: float
    batch_size: int
    device: str


def evaluate(
    model: str | os.PathLike[str] | Student | Teacher,
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    data_path: str | os.PathLike[str] | None = None,
    split: str = "eval",
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
) -> Evaluation:
    """Classify a labelled data set as accuracies are measured: images resized to a square, and
    nothing else.

    Classes are matched by name where the model has names, so that their order does not matter, and
    the data set may have fewer; by number otherwise.

    Args:
        model: A student folder, a teacher folder, or either that was loaded, which stays as it is.
        dataset: What `tvtfast.data.load_dataset` takes as name, or images.
        data_path: Folder of a data set given by name.
        split: As in `tvtfast.data.load_dataset`.
        batch_size: Images per pass.
        workers: Processes that load images; the result does not depend on it.
        device: Default the GPU, else the CPU.

    Raises:
        ValueError: Classes of the data set that the model does not know, or other numbers of
            classes where names are not known.
        FileNotFoundError: No such folder.
        CheckpointError: A file of it is damaged.
    """
    checks.whole("batch_size", batch_size, least=1)
    checks.whole("workers", workers, least=0)
    target = as_device(device)
    images = (
        dataset
        if isinstance(dataset, VisionDataset)
        else load_dataset(dataset, data_path, split=split)
    )
    subject = _subject(model, images)
    labels = _labels(subject, images)
    transformed = images.with_transform(eval_transform(subject.side, subject.normalization))
    batches = DataLoader(
        transformed,
        batch_size=batch_size,
        num_workers=workers,
        generator=torch.Generator(),  # else it draws from the caller's
    )
    logits, rate = _logits(subject.module.to(target), batches, target)
    return _summary(logits, labels, subject.names, images, rate, batch_size, target)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """``sum_b |B_b| / N |accuracy(B_b) - confidence(B_b)|`` over 15 bins of equal width.

    ``B_b`` are the images whose largest probability is in ``((b - 1) / 15, b / 15]``, and
    ``confidence`` is its mean over them. In 0..1, 0 is best.
    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

    Args:
        probabilities: ``[N, K]``, rows that sum to 1.
        labels: int64 ``[N]``.
    """
    confidence, predicted = probabilities.double().max(dim=1)
    right = (predicted == labels).double()
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]
    bins = torch.bucketize(confidence, edges)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, right - confidence)
    return float(gaps.abs().sum() / len(labels))


@dataclass(frozen=True)
class _Subject:
    """A model with all that evaluating it takes; ``names`` are positions where none are known."""

    module: nn.Module
    side: int
    normalization: Normalization
    names: tuple[str, ...]
    named: bool


def _subject(model: str | os.PathLike[str] | Student | Teacher, images: VisionDataset) -> _Subject:
    loaded = model
    if not isinstance(loaded, (Student, Teacher)):
        is_teacher = (Path(loaded) / TEACHER_CARD).exists()
        loaded = load_teacher(loaded, device="cpu") if is_teacher else load_student(loaded)
    module = copy.deepcopy(loaded.module).eval()
    if isinstance(loaded, Student):
        card = loaded.card
        count, names = int(card.model_options["num_classes"]), card.classes
        side, normalization = card.img_size[0], card.normalization
    else:
        count, names = loaded.num_classes or 0, None
        if not count:
            raise ValueError(f"teacher {loaded.name} has no classifier that says its classes")
        side = loaded.input_size or images.img_size
        normalization = loaded.normalization or images.normalization
    if names is not None and len(set(names)) == count:
        return _Subject(module, side, normalization, tuple(names), True)
    return _Subject(module, side, normalization, tuple(map(str, range(count))), False)


def _labels(subject: _Subject, images: VisionDataset) -> Tensor:
    """Labels of the images as the model counts classes."""
    if not subject.named:
        if len(subject.names) != images.num_classes:
            raise ValueError(
                f"the model has {len(subject.names)} classes and {images.name} has "
                f"{images.num_classes}; evaluate it on a data set of its own classes"
            )
        return images.labels
    positions = {name: position for position, name in enumerate(subject.names)}
    foreign = [name for name in images.classes if name not in positions]
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise ValueError(
            f"{images.name} has classes that the model was not trained on: "
            f"{', '.join(map(repr, foreign[:3]))}{more}; it knows "
            f"{', '.join(map(repr, subject.names[:3]))}"
            f"{' ...' if len(subject.names) > 3 else ''} ({len(subject.names)}); evaluate it on a "
            "data set of these classes, or rename the folders"
        )
    return torch.tensor([positions[name] for name in images.classes])[images.labels]


@torch.no_grad()
def _logits(
    module: nn.Module, batches: DataLoader[tuple[Tensor, int]], device: torch.device
) -> tuple[Tensor, float]:
    """Logits of all images, fp32 on the CPU, and images per second."""
    found: list[Tensor] = []
    seconds = 0.0
    with temporary_mode(module, training=False):
        for pixels, _ in batches:
            images = pixels.to(device)
            if not found:
                module(images)
            _wait(device)
            begin = time.perf_counter()
            outputs = module(images)
            _wait(device)
            seconds += time.perf_counter() - begin
            found.append(outputs.float().cpu())
    logits = torch.cat(found)
    return logits, len(logits) / seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summary(
    logits: Tensor,
    labels: Tensor,
    names: Sequence[str],
    images: VisionDataset,
    rate: float,
    batch_size: int,
    device: torch.device,
) -> Evaluation:
    count = len(names)
    ranked = logits.topk(min(_TOP, count)).indices == labels[:, None]
    cells = torch.bincount(labels * count + logits.argmax(dim=1), minlength=count**2)
    confusion = cells.view(count, count).numpy()
    sizes, hits = confusion.sum(axis=1), confusion.diagonal()
    classes = tuple(
        ClassAccuracy(name, int(size), float(100 * hit / size))
        for name, size, hit in zip(names, sizes, hits, strict=True)
        if size
    )
    return Evaluation(
        dataset=images.name,
        split=images.split,
        images=len(labels),
        accuracy=float(100 * hits.sum() / len(labels)),
        top5=float(100 * ranked.any(dim=1).double().mean()) if count > _TOP else None,
        calibration_error=calibration_error(logits.softmax(dim=1), labels),
        classes=classes,
        names=tuple(names),
        confusion=confusion,
        images_per_second=rate,
        batch_size=batch_size,
        device=str(device),
    )
