"""Spatial features of torchvision's classification models, which have no interface for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.models.features import SpatialFeatures, UnsupportedModelError

_CONTAINERS = ("features", "trunk_output", "layers", "blocks")
_HEAD = ("avgpool", "AuxLogits", "aux1", "aux2", "dropout", "classifier", "fc", "norm", "permute")


def torchvision_features(module: nn.Module, images: Tensor) -> list[SpatialFeatures]:
    """What every stage ends with, first to last.

    A stage is all layers in a row whose outputs have one size, the stem included; of vision
    transformers every block is one.

    Args:
        module: A model of ``torchvision.models``.
        images: ``[B, 3, H, W]``.

    Returns:
        Maps ``[B, C, H, W]``, or tokens ``[B, 1 + h*w, C]`` of vision transformers.

    Raises:
        UnsupportedModelError: No layer has a spatial output.
    """
    from torchvision.models import SwinTransformer, VisionTransformer

    model: Any = module
    if isinstance(module, VisionTransformer):
        grid = (images.shape[-2] // model.patch_size, images.shape[-1] // model.patch_size)
        tokens = _outputs(module, images, model.encoder.layers.children())
        return [SpatialFeatures(x, grid, 1) for x in tokens]
    stages: dict[torch.Size, Tensor] = {}
    for x in _outputs(module, images, _layers(module)):
        if x.ndim == 4:
            planes = x.permute(0, 3, 1, 2) if isinstance(module, SwinTransformer) else x
            stages[planes.shape[-2:]] = planes
    if not stages:
        raise UnsupportedModelError(
            f"no layer of {type(module).__name__} has outputs [B, C, H, W]; pass "
            "feature_fn=lambda module, images: ... returning features [B, C, H, W]"
        )
    return [SpatialFeatures(x) for x in stages.values()]


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers in a row, up to the head."""
    for name, part in module.named_children():
        if name in _CONTAINERS:
            yield from part.children()
        elif name not in _HEAD:
            yield part


def _outputs(module: nn.Module, images: Tensor, parts: Iterator[nn.Module]) -> list[Tensor]:
    found: list[Tensor] = []

    def keep(part: nn.Module, given: Any, output: Tensor) -> None:
        found.append(output)

    hooks = [part.register_forward_hook(keep) for part in parts]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found
