"""The trained ConvNet that looks over a search: its weights, its input and its features."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.common.hashing import fingerprint
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.models import teacher_folder
from tvtfast.models.features import (
    FeatureFn,
    SpatialFeatures,
    extract_features,
    features_and_outputs,
)
from tvtfast.models.modes import temporary_mode
from tvtfast.models.teacher_folder import TeacherCard


class Teacher:
    """A network that is asked for features and logits, and nothing else.

    The network may be in use elsewhere: its modes, ``requires_grad``, weights and statistics are
    after every call what they were before. While it computes it is in evaluation mode and records
    no gradient, whatever mode it was left in; so the same network is not to be trained in another
    thread at that moment.

    Args:
        module: The network; it is not copied.
        name: What to call it in reports.
        input_size: Side in pixels that images are resized to; ``None`` takes them as they come.
        normalization: What its input is normalised with; ``None`` takes what the student takes.
        feature_fn: How to read its features, see `tvtfast.models.extract_features`.
        num_classes: Classes of its classifier, 0 without one; default what the module calls
            ``num_classes``, and ``None`` where it does not.
        weights: Where its weights are from, in words.
        folder: The teacher folder it was read from.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        input_size: int | None = None,
        normalization: Normalization | None = None,
        feature_fn: FeatureFn | None = None,
        num_classes: int | None = None,
        weights: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.module = module
        self.name = name
        self.input_size = input_size
        self.normalization = normalization
        self.feature_fn = feature_fn
        stated = getattr(module, "num_classes", None)
        self.num_classes = (
            stated if num_classes is None and isinstance(stated, int) else num_classes
        )
        self.weights = weights
        self.folder = folder

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, buffers, input size and normalisation, as they are now.

        Computed on every access, so that a teacher that was trained on in between is another one.
        Hashing takes about a second per gigabyte of weights.
        """
        state = self.module.state_dict()
        own = self.normalization
        described = json.dumps([sorted(state), self.input_size, own and asdict(own)])
        weights = fingerprint(*(state[key] for key in sorted(state)))
        return hashlib.sha256((described + weights).encode()).hexdigest()

    def __str__(self) -> str:
        """One line for people: classes, input, normalisation and where the weights are from."""
        own = self.normalization
        if own is None:
            normalized = "the student's normalisation"
        elif own == IMAGENET_NORMALIZATION:
            normalized = "ImageNet's normalisation"
        else:
            normalized = f"mean {_listed(own.mean)} and std {_listed(own.std)}"
        known = {None: "classes unknown", 0: "no classifier", 1: "1 class"}
        parts = [
            known.get(self.num_classes, f"{self.num_classes} classes"),
            "input as it comes" if self.input_size is None else f"input {self.input_size}",
            normalized,
            *([self.weights] if self.weights else []),
        ]
        return f"teacher {self.name}: {', '.join(parts)}"

    def to(self, device: torch.device | str) -> Teacher:
        """The teacher on a device: itself where it is there, else another one around a copy of the
        network. Nothing that a caller holds is moved."""
        wanted = torch.empty(0, device=device).device
        state = self.module.state_dict(keep_vars=True)
        if all(tensor.device == wanted for tensor in state.values()):
            return self
        moved = copy.copy(self)
        moved.module = copy.deepcopy(self.module).to(device)
        return moved

    def prepare(self, images: Tensor, normalization: Normalization | None = None) -> Tensor:
        """The teacher's view of a student's batch ``[B, 3, H, W]``.

        Normalised anew where both normalisations are known and differ, then resized to
        ``[B, 3, input_size, input_size]`` (bilinear, align_corners=False, no antialiasing; TVT,
        section 3).
        """
        images = images.float()
        own = self.normalization
        if own is not None and normalization is not None and own != normalization:
            images = _renormalize(images, normalization, own)
        side = self.input_size
        if side is None or tuple(images.shape[-2:]) == (side, side):
            return images
        return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)

    @contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """The network in evaluation mode and without gradients; both are put back."""
        with temporary_mode(self.module, training=False), torch.no_grad():
            yield self.module

    def features(
        self, images: Tensor, *, normalization: Normalization | None = None
    ) -> list[SpatialFeatures]:
        """Features of every stage for a student's batch, first to last.

        Args:
            images: ``[B, 3, H, W]``, normalised for the student.
            normalization: What ``images`` were normalised with, where known.

        Raises:
            UnsupportedModelError: The network has no spatial features.
        """
        with self.evaluating() as module:
            prepared = self.prepare(images, normalization)
            return extract_features(module, prepared, feature_fn=self.feature_fn)

    def __call__(self, images: Tensor, *, normalization: Normalization | None = None) -> Tensor:
        """Logits ``[B, num_classes]`` for a student's batch."""
        with self.evaluating() as module:
            logits: Tensor = module(self.prepare(images, normalization))
            return logits

    def features_and_logits(
        self, images: Tensor, *, normalization: Normalization | None = None
    ) -> tuple[list[SpatialFeatures], Tensor]:
        """Both, in one pass where the network can continue from its features."""
        with self.evaluating() as module:
            prepared = self.prepare(images, normalization)
            return features_and_outputs(module, prepared, feature_fn=self.feature_fn)

    def save(self, folder: str | os.PathLike[str], *, dataset: str, accuracy: float) -> None:
        """Write a teacher folder: ``teacher.json`` and ``model.safetensors``; all of it or nothing.

        Args:
            folder: Must not exist yet.
            dataset: Name of the data set it was trained on.
            accuracy: Top-1 accuracy on that data set's test split, in percent.

        Raises:
            FileExistsError: The folder exists.
            ValueError: The network is neither a CIFAR ResNet nor a timm model as timm builds it, so
                that no description of it can be saved.
        """
        folder = Path(folder)
        card = self._card(dataset, accuracy)
        if folder.exists():
            raise FileExistsError(f"{folder} exists; remove it or choose another teacher folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            teacher_folder.write(unfinished, self.module, card)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def update(
        self,
        folder: str | os.PathLike[str],
        *,
        dataset: str,
        accuracy: float | None,
        held_out_accuracy: float | None = None,
    ) -> None:
        """Write into a folder that may be a teacher folder already, as `save`; each file replaces
        the one before it at once."""
        card = self._card(dataset, accuracy, held_out_accuracy)
        teacher_folder.write(Path(folder), self.module, card)

    def _card(
        self, dataset: str, accuracy: float | None, held_out_accuracy: float | None = None
    ) -> TeacherCard:
        return TeacherCard(
            name=self.name,
            architecture=teacher_folder.describe(self.module),
            input_size=self.input_size,
            normalization=self.normalization,
            dataset=dataset,
            accuracy=accuracy,
            held_out_accuracy=held_out_accuracy,
        )


def _renormalize(images: Tensor, given: Normalization, wanted: Normalization) -> Tensor:
    def channels(values: tuple[float, float, float]) -> Tensor:
        return images.new_tensor(values).view(3, 1, 1)

    pixels = images * channels(given.std) + channels(given.mean)
    return (pixels - channels(wanted.mean)) / channels(wanted.std)


def _listed(values: tuple[float, float, float]) -> str:
    return "/".join(f"{value:g}" for value in values)
