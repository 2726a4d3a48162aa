"""How good a trained student or teacher is on a labelled data set, in one pass."""

from __future__ import annotations

import copy
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tvtfast.common import checks
from tvtfast.common.machine import as_device
from tvtfast.common.progress import track
from tvtfast.data import SEARCH_SPLIT, VisionDataset, eval_transform, load_dataset, load_splits
from tvtfast.data.transforms import Transform
from tvtfast.models import Student, Teacher, load_student, load_teacher
from tvtfast.models.teacher_folder import CARD as TEACHER_CARD
from tvtfast.students.inputs import input_transform
from tvtfast.students.matching import MatchedClasses, match_classes
from tvtfast.training.recipe import DTYPES

BINS = 15
"""Of the calibration error."""

HELD_OUT = "held-out"
"""The split that the epoch of a student was chosen by."""

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


@dataclass(frozen=True, eq=False)
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
        device: Where they ran, by name of a GPU.
        dtype: What they ran in.
        matched_by: How classes were matched: ``name``, or ``count`` where there are no names.
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
    dtype: str
    matched_by: str


def evaluate(
    model: str | os.PathLike[str] | Student | Teacher,
    dataset: str | os.PathLike[str] | VisionDataset,
    *,
    data_path: str | os.PathLike[str] | None = None,
    split: str = "eval",
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | str | None = None,
    dtype: str = "float32",
    progress: bool = False,
) -> Evaluation:
    """Classify a labelled data set as accuracies are measured: images resized to a square, and
    nothing else.

    Classes are matched by name where both have names, so that their order does not matter, and the
    data set may have fewer; by count otherwise. Numbers from 0 are names where both have them.

    Args:
        model: A student folder, a teacher folder, or either that was loaded, which stays as it is.
        dataset: What `tvtfast.data.load_dataset` takes as name, or images.
        data_path: Folder of a data set given by name.
        split: As in `tvtfast.data.load_dataset`; ``"held-out"``, of a student, for what
            `tvtfast.data.load_splits` holds out with the share of its training. Images that are
            given are taken as they are.
        batch_size: Images per pass.
        workers: Processes that load images; the result does not depend on it.
        device: Default the GPU, else the CPU.
        dtype: ``float32``, or ``bfloat16`` or ``float16``, which run under autocast.
        progress: Show a progress bar.

    Raises:
        ValueError: Classes of the data set that the model does not know, other numbers of classes
            where names are not known, logits that are NaN or infinite, or too few or many of them,
            or a student of which nothing was held out.
        FileNotFoundError: No such folder.
        CheckpointError: A file of it is damaged.
    """
    checks.whole("batch_size", batch_size, least=1)
    checks.whole("workers", workers, least=0)
    checks.choice("dtype", dtype, DTYPES)
    target = as_device(device)
    loaded = _loaded(model)
    images = (
        dataset
        if isinstance(dataset, VisionDataset)
        else _images(loaded, dataset, data_path, split)
    )
    subject = _subject(loaded, images)
    batches = DataLoader(
        images.with_transform(subject.transform),
        batch_size=batch_size,
        num_workers=workers,
        generator=torch.Generator(),  # else it draws from the caller's
    )
    with track("evaluating", total=len(images), unit="image", show=progress) as bar:
        passes = _Passes(subject, target, dtype)
        for pixels, _ in batches:
            passes.take(pixels)
            bar.update(len(pixels))
    return Evaluation(
        dataset=images.name,
        split=images.split,
        **_figures(passes.logits(), subject.classes.labels[images.labels], subject.classes.names),
        images_per_second=len(images) / passes.seconds,
        batch_size=batch_size,
        device=torch.cuda.get_device_name(target) if target.type == "cuda" else str(target),
        dtype=dtype,
        matched_by=subject.classes.by,
    )


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


@dataclass(frozen=True, eq=False)
class _Subject:
    """A copy of a model, in evaluation mode, with all that evaluating it takes."""

    module: nn.Module
    transform: Transform
    classes: MatchedClasses


def _loaded(model: str | os.PathLike[str] | Student | Teacher) -> Student | Teacher:
    if isinstance(model, (Student, Teacher)):
        return model
    is_teacher = (Path(model) / TEACHER_CARD).exists()
    return load_teacher(model, device="cpu") if is_teacher else load_student(model)


def _images(
    model: Student | Teacher,
    name: str | os.PathLike[str],
    path: str | os.PathLike[str] | None,
    split: str,
) -> VisionDataset:
    if split != HELD_OUT:
        return load_dataset(name, path, split=split)
    if not isinstance(model, Student):
        raise ValueError(f"split is {split!r}, and a teacher does not say what; give another")
    share = model.card.recipe.get("search_split", SEARCH_SPLIT)
    held_out = load_splits(name, path, search_split=share).held_out
    if held_out is None:
        raise ValueError(f"split is {split!r}, and the student held nothing out; give another")
    return held_out


def _subject(model: Student | Teacher, images: VisionDataset) -> _Subject:
    module = copy.deepcopy(model.module).eval()
    if isinstance(model, Student):
        card = model.card
        count = int(card.model_options["num_classes"])
        return _Subject(module, input_transform(card), match_classes(card.classes, count, images))
    if not model.num_classes:
        raise ValueError(f"teacher {model.name} has no classifier that says its classes")
    transform = eval_transform(
        model.input_size or images.img_size, model.normalization or images.normalization
    )
    return _Subject(module, transform, match_classes(None, model.num_classes, images))


class _Passes:
    """Forward passes, batch after batch, and how long they took."""

    def __init__(self, subject: _Subject, device: torch.device, dtype: str) -> None:
        self.module, self.count = subject.module.to(device), len(subject.classes.names)
        self.device, self.dtype = device, dtype
        self.seconds, self.done = 0.0, 0
        self._found: list[Tensor] = []

    @torch.no_grad()
    def take(self, pixels: Tensor) -> None:
        """One pass; before the first, one to warm up.

        Raises:
            ValueError: Logits of which no probabilities follow.
        """
        images = pixels.to(self.device)
        with torch.autocast(self.device.type, DTYPES[self.dtype], enabled=self.dtype != "float32"):
            if not self._found:
                self.module(images)
            self._wait()
            begin = time.perf_counter()
            outputs = self.module(images)
            self._wait()
            self.seconds += time.perf_counter() - begin
        self._found.append(self._checked(outputs.float().cpu()))
        self.done += len(pixels)

    def logits(self) -> Tensor:
        """Of all images, fp32 on the CPU."""
        return torch.cat(self._found)

    def _checked(self, logits: Tensor) -> Tensor:
        if logits.ndim != 2 or logits.shape[1] != self.count:
            raise ValueError(
                f"the model gives logits of shape {list(logits.shape)}, and has {self.count} "
                "classes by its card; they should be [images, classes]"
            )
        broken = (~logits.softmax(dim=1).isfinite().all(dim=1)).nonzero()
        if len(broken):
            raise ValueError(
                f"logits of {len(broken)} of {len(logits)} images are NaN or infinite in "
                f"{self.dtype}, the first of them those of image {self.done + int(broken[0])}, "
                "counted from 0: no class is the likeliest; look at the weights"
                + ("" if self.dtype == "float32" else ", or evaluate in float32")
            )
        return logits

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _figures(logits: Tensor, labels: Tensor, names: tuple[str, ...]) -> dict[str, Any]:
    """What an `Evaluation` says about logits."""
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
    return {
        "images": len(labels),
        "accuracy": float(100 * hits.sum() / len(labels)),
        "top5": float(100 * ranked.any(dim=1).double().mean()) if count > _TOP else None,
        "calibration_error": calibration_error(logits.softmax(dim=1), labels),
        "classes": classes,
        "names": names,
        "confusion": confusion,
    }
