"""Networks by name: CIFAR ResNets, timm's models and torchvision's classification models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.common.normalization import IMAGENET_NORMALIZATION, Normalization
from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.initialization import initialize_
from tvtfast.models.checkpoint import CheckpointError
from tvtfast.models.cifar_resnet import DEPTHS, CifarResNet, canonical, untrained_for
from tvtfast.models.features import FeatureFn
from tvtfast.models.fitting import classes_of, fit, spellings
from tvtfast.models.torchvision_features import torchvision_features

_CIFAR_INPUT = 32
_CIFAR_NAME = re.compile(f"resnet({'|'.join(map(str, DEPTHS))})")
_IMAGENET_CLASSES = 1000
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_TABLES = ("relative_coords_table", "relative_position_index")
"""Buffers of torchvision's models, which its numbers of parameters do not count."""

NAME_ADVICE = (
    "name the model they belong to: --teacher NAME --teacher-checkpoint PATH, "
    "load_teacher(NAME, checkpoint=PATH); a module of your own: load_teacher(module, "
    "checkpoint=PATH)"
)


@dataclass(frozen=True)
class Network:
    """A network with its weights, and how it wants its images.

    Args:
        name: What to call it.
        module: The network.
        num_classes: Classes of its classifier; 0 without one.
        input_size: Side in pixels that it was made for.
        normalization: What its input is normalised with.
        feature_fn: How to read its features, where it does not say so itself.
        folder: The teacher folder it was read from.
    """

    name: str
    module: nn.Module
    num_classes: int
    input_size: int | None
    normalization: Normalization | None
    feature_fn: FeatureFn | None = None
    folder: Path | None = None


def cifar_depth(name: str) -> int | None:
    """Layers of the CIFAR ResNet of that name; ``None`` for another name."""
    match = _CIFAR_NAME.fullmatch(name)
    return None if match is None else int(match[1])


def is_timm(name: str) -> bool:
    """Whether timm knows a model of that name, with the tag of its weights or without one."""
    ensure_torchvision()
    import timm

    if "." not in name:
        return bool(timm.is_model(name))
    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False) is not None
    except RuntimeError:  # a model with another tag, such as resnet18.pth
        return False


def is_torchvision(name: str) -> bool:
    """Whether torchvision knows a classification model of that name."""
    return name in _torchvision_names()


def timm_names() -> list[str]:
    """All models of timm, without tags."""
    ensure_torchvision()
    import timm

    return list(timm.list_models())


def known_names() -> list[str]:
    """All names that `is_timm`, `is_torchvision` and `cifar_depth` know, without tags."""
    cifar = [f"resnet{depth}" for depth in DEPTHS]
    return list(dict.fromkeys([*cifar, *timm_names(), *_torchvision_names()]))


def with_weights(
    name: str, weights: Mapping[str, Tensor], path: Path, num_classes: int | None
) -> Network:
    """The network of a name with the weights of a checkpoint.

    The number of classes is that of the classifier among the weights. A name that timm and
    torchvision both have is timm's where the weights fit that, else torchvision's.

    Args:
        name: A known name.
        weights: What `tvtfast.models.checkpoint.load_weights` read.
        path: Where from, for messages.
        num_classes: Classes of its classifier, where the caller states them.

    Raises:
        CheckpointError: The weights are another model's; the message names the first keys.
    """
    depth = cifar_depth(name)
    if depth is not None:
        return _cifar_of_depth(depth, weights, path)
    if not is_timm(name):
        return _torchvision_with(name, weights, path, num_classes)
    try:
        return _timm_with(name, weights, path, num_classes)
    except CheckpointError as error:
        if not is_torchvision(name):
            raise
        try:
            return _torchvision_with(name, weights, path, num_classes)
        except CheckpointError:
            raise error from None


def recognised(weights: Mapping[str, Tensor], path: Path) -> Network:
    """The network whose weights these are: a CIFAR ResNet, or a model of torchvision.

    Raises:
        CheckpointError: They are neither's.
    """
    cifar = _cifar(weights, path)
    if cifar is not None:
        return cifar
    for name in _torchvision_of_size(weights):
        try:
            return _torchvision_with(name, weights, path, None)
        except CheckpointError:
            continue
    raise CheckpointError(
        f"the weights in {path} are not those of a CIFAR ResNet or a model of torchvision; "
        f"{NAME_ADVICE}"
    )


def published(name: str, num_classes: int | None) -> Network:
    """The network of a name with the weights that timm, or else torchvision, publishes.

    Raises:
        ValueError: Nobody publishes weights of that name.
    """
    if cifar_depth(name) is not None:
        raise ValueError(
            f"there are no published weights of the CIFAR ResNet {name!r}; give a checkpoint "
            "(--teacher-checkpoint PATH, checkpoint=PATH)"
        )
    if is_timm(name):
        return _of_timm(name, num_classes, pretrained=True)
    return _of_torchvision(name, num_classes or _IMAGENET_CLASSES, pretrained=True)


def untrained(name: str, num_classes: int | None) -> Network:
    """The network of a name with random weights, the same on every call."""
    depth = cifar_depth(name)
    if depth is not None:
        with torch.random.fork_rng(devices=[]):
            network = _of_cifar(CifarResNet(depth, num_classes or _IMAGENET_CLASSES))
    elif is_timm(name):
        network = _of_timm(name, num_classes)
    else:
        network = _of_torchvision(name, num_classes or _IMAGENET_CLASSES)
    initialize_(network.module)
    return network


def _of_cifar(module: CifarResNet) -> Network:
    return Network(
        f"cifar_resnet{module.depth}",
        module,
        module.num_classes,
        _CIFAR_INPUT,
        IMAGENET_NORMALIZATION,
    )


def _cifar(weights: Mapping[str, Tensor], path: Path) -> Network | None:
    """The CIFAR ResNet that the weights look like, if any."""
    for spelled in spellings(weights):
        renamed = {canonical(name): tensor for name, tensor in spelled.items()}
        module = untrained_for(renamed)
        if module is not None:
            return _fitted(module, renamed, path)
    return None


def _cifar_of_depth(depth: int, weights: Mapping[str, Tensor], path: Path) -> Network:
    found = _cifar(weights, path)
    if found is not None and found.name == f"cifar_resnet{depth}":
        return found
    renamed = {canonical(name): tensor for name, tensor in weights.items()}
    with torch.random.fork_rng(devices=[]):
        module = CifarResNet(depth, classes_of(renamed, ["linear"]) or 1)
    return _fitted(module, renamed, path)


def _fitted(module: CifarResNet, weights: Mapping[str, Tensor], path: Path) -> Network:
    fit(module, weights, path, name=f"CIFAR resnet{module.depth}", advice=NAME_ADVICE)
    return _of_cifar(module)


def _timm_with(
    name: str, weights: Mapping[str, Tensor], path: Path, num_classes: int | None
) -> Network:
    ensure_torchvision()
    import timm

    config: Any = timm.get_pretrained_cfg(name)
    layers = config.classifier or ()
    if num_classes is None:
        named = [layers] if isinstance(layers, str) else list(layers)
        num_classes = classes_of(weights, named) or 0
    network = _of_timm(name, num_classes)
    fit(network.module, weights, path, name=f"timm's {name}", advice=NAME_ADVICE)
    return network


def _of_timm(name: str, num_classes: int | None, *, pretrained: bool = False) -> Network:
    ensure_torchvision()
    import timm

    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    with torch.random.fork_rng(devices=[]):
        module: Any = timm.create_model(name, pretrained=pretrained, **options)
    config = module.pretrained_cfg
    return Network(
        name,
        module,
        int(module.num_classes),
        int(config["input_size"][-1]),
        Normalization(tuple(config["mean"]), tuple(config["std"])),
    )


def _torchvision_with(
    name: str, weights: Mapping[str, Tensor], path: Path, num_classes: int | None
) -> Network:
    auxiliary = any("aux" in key.lower() for key in weights)
    network = _of_torchvision(name, num_classes or _IMAGENET_CLASSES, auxiliary=auxiliary)
    found = num_classes or classes_of(weights, [_classifier(network.module)])
    if found is not None and found != network.num_classes:
        network = _of_torchvision(name, found, auxiliary=auxiliary)
    fit(network.module, weights, path, name=f"torchvision's {name}", advice=NAME_ADVICE)
    return network


def _of_torchvision(
    name: str, num_classes: int, *, pretrained: bool = False, auxiliary: bool = False
) -> Network:
    ensure_torchvision()
    from torchvision import models

    options: dict[str, Any] = {"num_classes": num_classes}
    if name in _WITH_AUXILIARY and not pretrained:
        options |= {"aux_logits": auxiliary, "init_weights": True}
    known = models.get_model_weights(name)
    chosen = known.DEFAULT if pretrained else list(known)[0]
    with torch.random.fork_rng(devices=[]):
        module = models.get_model(name, weights=chosen if pretrained else None, **options)
    shown = chosen.transforms()
    return Network(
        name,
        module,
        num_classes,
        int(getattr(module, "image_size", shown.crop_size[0])),
        Normalization(tuple(shown.mean), tuple(shown.std)),
        torchvision_features,
    )


_WITH_AUXILIARY = ("googlenet", "inception_v3")


def _torchvision_names() -> list[str]:
    ensure_torchvision()
    from torchvision import models

    return list(models.list_models(module=models))


def _classifier(module: nn.Module) -> str:
    """Name of the layer whose outputs are a torchvision model's logits: the last one it has."""
    layers = [
        name for name, part in module.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))
    ]
    return layers[-1]


def _torchvision_of_size(weights: Mapping[str, Tensor]) -> list[str]:
    """Torchvision's models that have as many parameters as the weights, all but the classifier,
    which comes last."""
    ensure_torchvision()
    from torchvision import models

    counted = {
        name: tensor
        for name, tensor in weights.items()
        if name.rsplit(".", 1)[-1] not in (*_STATISTICS, *_TABLES)
    }
    matrices = [tensor for tensor in counted.values() if tensor.ndim >= 2 and len(tensor)]
    if not matrices:
        return []
    classes, fan_in = len(matrices[-1]), matrices[-1][0].numel()
    params = sum(tensor.numel() for tensor in counted.values())
    params += (_IMAGENET_CLASSES - classes) * (fan_in + 1)
    return [
        name
        for name in _torchvision_names()
        if list(models.get_model_weights(name))[0].meta["num_params"] == params
    ]
