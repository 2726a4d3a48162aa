"""The trained ConvNet that looks over a search: its weights, its input and its features."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.common.hashing import fingerprint
from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.initialization import initialize_
from tvtfast.models import teacher_folder
from tvtfast.models.checkpoint import CheckpointError, fit, load_weights
from tvtfast.models.cifar_resnet import from_state_dict
from tvtfast.models.features import FeatureFn, SpatialFeatures, extract_features

_CIFAR_INPUT = 32


class Teacher:
    """A frozen teacher in evaluation mode.

    Args:
        module: The network.
        name: What to call it in reports.
        input_size: Side in pixels that images are resized to; ``None`` takes them as they come.
        normalization: What its input is normalised with; ``None`` takes what the student takes.
        feature_fn: How to read its features, see `tvtfast.models.extract_features`.

    Attributes:
        fingerprint: SHA-256 over weights, buffers, input size and normalisation.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        input_size: int | None = None,
        normalization: Normalization | None = None,
        feature_fn: FeatureFn | None = None,
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.name = name
        self.input_size = input_size
        self.normalization = normalization
        self.feature_fn = feature_fn
        state = module.state_dict()
        described = json.dumps([sorted(state), input_size, normalization and asdict(normalization)])
        weights = fingerprint(*(state[key] for key in sorted(state)))
        self.fingerprint = hashlib.sha256((described + weights).encode()).hexdigest()

    def to(self, device: torch.device | str) -> Teacher:
        """Move the network; returns the teacher itself."""
        self.module.to(device)
        return self

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

    @torch.no_grad()
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
        prepared = self.prepare(images, normalization)
        return extract_features(self.module, prepared, feature_fn=self.feature_fn)

    @torch.no_grad()
    def __call__(self, images: Tensor, *, normalization: Normalization | None = None) -> Tensor:
        """Logits ``[B, num_classes]`` for a student's batch."""
        logits: Tensor = self.module(self.prepare(images, normalization))
        return logits

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
        card = teacher_folder.describe(self.module) | self._described(dataset, accuracy)
        if folder.exists():
            raise FileExistsError(f"{folder} exists; remove it or choose another teacher folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            teacher_folder.write(unfinished, self.module, card)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def update(self, folder: str | os.PathLike[str], *, dataset: str, accuracy: float) -> None:
        """Write into a folder that may be a teacher folder already, as `save`; each file replaces
        the one before it at once."""
        card = teacher_folder.describe(self.module) | self._described(dataset, accuracy)
        teacher_folder.write(Path(folder), self.module, card)

    def _described(self, dataset: str, accuracy: float) -> dict[str, Any]:
        return {
            "name": self.name,
            "input_size": self.input_size,
            "normalization": self.normalization and asdict(self.normalization),
            "dataset": dataset,
            "accuracy": accuracy,
        }


def load_teacher(
    source: str | os.PathLike[str] | nn.Module | Teacher,
    *,
    num_classes: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    normalization: Normalization | None = None,
    feature_fn: FeatureFn | None = None,
    device: torch.device | str | None = None,
) -> Teacher:
    """Load a teacher from whatever there is.

    Args:
        source: A teacher folder of tvtfast; a checkpoint file of a CIFAR ResNet (depth, classes and
            shortcut are read from the weights); the name of a timm model; a module; or a teacher.
        num_classes: Classes of a timm model; default the model's own.
        checkpoint: Weights of a timm model or a module (safetensors, or ``torch.save`` of tensors).
        pretrained: Let timm fetch its published weights (needs network or timm's cache).
        input_size: Side in pixels images are resized to. Default: the folder's, 32 for a CIFAR
            ResNet, timm's own for a timm model, none for a module.
        normalization: What its input is normalised with. Default: the folder's, ImageNet's for a
            CIFAR ResNet, timm's own for a timm model, the student's for a module.
        feature_fn: How to read spatial features where the model has no ``forward_intermediates``.
        device: Where it runs; default where it is.

    Raises:
        FileNotFoundError: A path that does not exist.
        CheckpointError: A file that is damaged, or weights that do not fit the model.
        ValueError: An unknown model name, or options that do not go with the source.
    """
    if isinstance(source, Teacher):
        teacher = source
    elif isinstance(source, nn.Module):
        if checkpoint is not None:
            fit(source, load_weights(Path(checkpoint)), checkpoint)
        teacher = Teacher(
            source,
            name=type(source).__name__,
            input_size=input_size,
            normalization=normalization,
            feature_fn=feature_fn,
        )
    elif Path(source).is_dir():
        teacher = _from_folder(Path(source))
    elif Path(source).is_file():
        teacher = _from_file(Path(source), input_size, normalization)
    elif _looks_like_path(source):
        raise FileNotFoundError(
            f"no teacher at {os.fspath(source)}; give a teacher folder, a checkpoint file, the "
            "name of a timm model, or a module"
        )
    else:
        teacher = _from_timm(
            str(source), num_classes, checkpoint, pretrained, input_size, normalization, feature_fn
        )
    return teacher if device is None else teacher.to(device)


def _from_folder(folder: Path) -> Teacher:
    module, card = teacher_folder.read(folder)
    described = card["normalization"]
    return Teacher(
        module,
        name=card["name"],
        input_size=card["input_size"],
        normalization=described
        and Normalization(tuple(described["mean"]), tuple(described["std"])),
    )


def _from_file(path: Path, input_size: int | None, normalization: Normalization | None) -> Teacher:
    try:
        module = from_state_dict(load_weights(path))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in {path} do not fit: {error}") from error
    if module is None:
        raise CheckpointError(
            f"the weights in {path} are not those of a CIFAR ResNet; name the model they belong "
            "to: load_teacher(timm_name, checkpoint=path) or load_teacher(module, checkpoint=path)"
        )
    return Teacher(
        module,
        name=f"cifar_resnet{module.depth}",
        input_size=input_size or _CIFAR_INPUT,
        normalization=normalization or IMAGENET_NORMALIZATION,
    )


def _from_timm(
    name: str,
    num_classes: int | None,
    checkpoint: str | os.PathLike[str] | None,
    pretrained: bool,
    input_size: int | None,
    normalization: Normalization | None,
    feature_fn: FeatureFn | None,
) -> Teacher:
    ensure_torchvision()
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        hint = f"; close names: {', '.join(close)}" if close else ""
        raise ValueError(
            f"{name!r} is neither a file, a folder nor a timm model{hint}; give a teacher folder, "
            "a checkpoint file, a timm name, or a module"
        )
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    module = timm.create_model(name, pretrained=pretrained, **options)
    if checkpoint is not None:
        fit(module, load_weights(Path(checkpoint)), checkpoint)
    elif not pretrained:
        initialize_(module)
        warnings.warn(
            f"teacher {name!r} has random weights; give checkpoint=path or pretrained=True",
            stacklevel=3,
        )
    config: Any = module.pretrained_cfg
    own = Normalization(tuple(config["mean"]), tuple(config["std"]))
    return Teacher(
        module,
        name=name,
        input_size=input_size or int(config["input_size"][-1]),
        normalization=normalization or own,
        feature_fn=feature_fn,
    )


def _looks_like_path(source: str | os.PathLike[str]) -> bool:
    text = os.fspath(source)
    return not isinstance(source, str) or os.sep in text or bool(Path(text).suffix[1:].isalpha())


def _renormalize(images: Tensor, given: Normalization, wanted: Normalization) -> Tensor:
    def channels(values: tuple[float, float, float]) -> Tensor:
        return images.new_tensor(values).view(3, 1, 1)

    pixels = images * channels(given.std) + channels(given.mean)
    return (pixels - channels(wanted.mean)) / channels(wanted.std)
