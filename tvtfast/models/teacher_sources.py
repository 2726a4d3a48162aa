"""Teachers from whatever there is: a name, a folder, a file, a module."""

from __future__ import annotations

import copy
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tvtfast.common.names import did_you_mean
from tvtfast.common.normalization import Normalization
from tvtfast.models import named, teacher_folder
from tvtfast.models.checkpoint import load_weights
from tvtfast.models.features import FeatureFn
from tvtfast.models.fitting import fit
from tvtfast.models.named import Network
from tvtfast.models.teacher import Teacher

_log = logging.getLogger(__name__)

_KINDS = (
    "a teacher folder, a checkpoint, the name of a CIFAR ResNet, of a timm model or of a "
    "torchvision model"
)


def load_teacher(
    source: str | os.PathLike[str] | nn.Module | Teacher,
    *,
    num_classes: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    pretrained: bool = False,
    random_weights: bool = False,
    input_size: int | None = None,
    normalization: Normalization | None = None,
    feature_fn: FeatureFn | None = None,
    device: torch.device | str | None = None,
) -> Teacher:
    """Load a teacher from whatever there is.

    A string that is a known name (``resnet56``, ``resnet18``, ``vit_small_patch16_224.dino``,
    ``mobilenet_v2``) is that name, even where a file is called so; ``./resnet18`` is a path. The
    random state of the process stays as it is.

    Args:
        source: A teacher folder of tvtfast; a checkpoint of a CIFAR ResNet or of a torchvision
            model (which one is read from the weights); a name; a module, which stays the caller's
            (see `Teacher`); or a teacher.
        num_classes: Classes of a model by name; default those of the checkpoint's classifier, or
            of the published weights.
        checkpoint: Weights of a model by name, or of a module, which they are loaded into. See
            `tvtfast.models.checkpoint.load_weights` for formats and
            `tvtfast.models.fitting.spellings` for names of weights.
        pretrained: Take the published weights of a name (needs network or the cache of timm or
            torchvision).
        random_weights: Take a name without weights: for tests, and as a baseline.
        input_size: Side in pixels images are resized to. Default: the folder's, 32 for a CIFAR
            ResNet, the model's own for a name, none for a module.
        normalization: What its input is normalised with. Default: the folder's, ImageNet's for a
            CIFAR ResNet, the model's own for a name, the student's for a module.
        feature_fn: How to read spatial features where the model has no ``forward_intermediates``
            and is none of torchvision's.
        device: Where it runs; default where it is. What a caller holds is copied there, not moved.

    Raises:
        FileNotFoundError: A path that does not exist.
        CheckpointError: A file that is damaged, or weights that do not fit the model.
        ValueError: An unknown name, a name without weights, or options that do not go with the
            source.
    """
    if isinstance(source, (Teacher, nn.Module)):
        _refuse(
            f"a {type(source).__name__}",
            num_classes=num_classes is not None,
            pretrained=pretrained,
            random_weights=random_weights,
        )
        teacher = _of_object(source, checkpoint)
    else:
        network, origin = _network(source, num_classes, checkpoint, pretrained, random_weights)
        _describe_input(network)
        teacher = Teacher(
            network.module.eval().requires_grad_(False).to(device or "cpu"),
            name=network.name,
            input_size=network.input_size,
            normalization=network.normalization,
            feature_fn=network.feature_fn,
            num_classes=network.num_classes,
            weights=origin,
            folder=network.folder,
        )
    stated = {
        "input_size": input_size,
        "normalization": normalization,
        "feature_fn": feature_fn,
    }
    given = {name: value for name, value in stated.items() if value is not None}
    if given:
        teacher = copy.copy(teacher)
        vars(teacher).update(given)
    return teacher if device is None else teacher.to(device)


def _describe_input(network: Network) -> None:
    """Have the module say what its input is normalised with, where timm's distillation reads it."""
    if network.normalization is not None:
        module: Any = network.module
        known = getattr(module, "pretrained_cfg", None) or {}
        module.pretrained_cfg = {**known, **asdict(network.normalization)}


def _of_object(source: Teacher | nn.Module, checkpoint: str | os.PathLike[str] | None) -> Teacher:
    if isinstance(source, Teacher):
        _refuse("a Teacher, which has its weights", checkpoint=checkpoint is not None)
        return source
    if checkpoint is not None:
        fit(source, load_weights(Path(checkpoint)), checkpoint)
    origin = None if checkpoint is None else f"weights from {os.fspath(checkpoint)}"
    return Teacher(source, name=type(source).__name__, weights=origin)


def _network(
    source: str | os.PathLike[str],
    num_classes: int | None,
    checkpoint: str | os.PathLike[str] | None,
    pretrained: bool,
    random_weights: bool,
) -> tuple[Network, str]:
    """The network, and where its weights are from."""
    ways = {"checkpoint": checkpoint is not None, "pretrained": pretrained}
    chosen = [
        name for name, is_given in (ways | {"random_weights": random_weights}).items() if is_given
    ]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} exclude one another; give one of them")
    text = os.fspath(source)
    if not isinstance(source, str) or not _is_known(text):
        path = Path(source)
        if not path.exists():
            raise _unknown(source)
        _refuse(
            f"{text}, which has its weights",
            num_classes=num_classes is not None,
            random_weights=random_weights,
            **ways,
        )
        return (_of_folder if path.is_dir() else _of_file)(path), f"weights from {text}"
    if Path(text).exists():
        _log.warning(
            "teacher %r is taken for the name of a model; for the path of that name give ./%s",
            text,
            text,
        )
    if checkpoint is not None:
        path = Path(checkpoint)
        return named.with_weights(
            text, load_weights(path), path, num_classes
        ), f"weights from {path}"
    if pretrained:
        return named.published(text, num_classes), "published weights"
    if random_weights:
        return named.untrained(text, num_classes), "random weights"
    raise ValueError(
        f"teacher {text!r} names a model without weights, and a random teacher teaches nothing; "
        "give its weights, whose number of classes is read from them (--teacher-checkpoint PATH, "
        "checkpoint=PATH), or take the published ones (--teacher-pretrained true, pretrained=True)"
        "; in Python random_weights=True takes random ones, as a baseline"
    )


def _is_known(name: str) -> bool:
    return named.cifar_depth(name) is not None or named.is_timm(name) or named.is_torchvision(name)


def _of_folder(folder: Path) -> Network:
    module, card = teacher_folder.read(folder)
    return Network(
        card.name,
        module,
        card.num_classes,
        card.input_size,
        card.normalization,
        folder=folder,
    )


def _of_file(path: Path) -> Network:
    network = named.recognised(load_weights(path), path)
    _log.info("%s holds the weights of %s", path, network.name)
    return network


def _unknown(source: str | os.PathLike[str]) -> Exception:
    text = os.fspath(source)
    if _looks_like_path(source):
        return FileNotFoundError(f"no teacher at {text}; give {_KINDS}, or a module")
    hint = did_you_mean(text, named.known_names())
    return ValueError(
        f"{text!r} is neither a file, a folder nor the name of a model"
        f"{hint}; give {_KINDS}, or a module"
    )


def _looks_like_path(source: str | os.PathLike[str]) -> bool:
    text = os.fspath(source)
    return not isinstance(source, str) or os.sep in text or bool(Path(text).suffix[1:].isalpha())


def _refuse(what: str, **given: bool) -> None:
    """Options that say nothing about this source would be left out in silence."""
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)} cannot be given with {what}; that is for the name of a model"
        )
