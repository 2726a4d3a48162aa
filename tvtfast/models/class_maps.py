"""Where in an image a network finds what its logits are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.models.features import (
    FeatureFn,
    SpatialFeatures,
    UnsupportedModelError,
    features_and_outputs,
)
from tvtfast.models.modes import temporary_mode


def class_map(
    module: nn.Module, images: Tensor, *, feature_fn: FeatureFn | None = None
) -> SpatialFeatures:
    r"""Grad-CAM accumulated over classes, without its rectifier.

    .. math:: M_{bp} = \sum_c \left( \frac{1}{N} \sum_{p'}
        \frac{\partial \sum_n z_{bn}}{\partial A_{bcp'}} \right) A_{bcp}

    of logits ``z`` and the features ``A`` of the last block whose patches they depend on. That is
    the last one of most networks, and the one before it where a class token is all that is read of
    the last.

    Args:
        module: A candidate of tvtfast, or a network that continues from its features, such as a
            CIFAR ResNet or a ConvNet of timm; evaluated in evaluation mode. Nothing of it is
            written to, gradients included. It must keep images apart.
        images: ``[B, C, H, W]``, on the device and in the dtype of the weights.
        feature_fn: As in `tvtfast.models.extract_features`.

    Returns:
        ``[B, 1, H, W]`` in the dtype of the features, without history.

    Raises:
        UnsupportedModelError: There are no features or logits, or no logit depends on a feature
            that can be read.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017; accumulated as in Dong et al., "DisWOT",
    CVPR 2023.
    """
    shown = images.detach().requires_grad_()
    with temporary_mode(module, training=False), torch.enable_grad():
        features, output = features_and_outputs(module, shown, feature_fn=feature_fn)
        logits = getattr(output, "logits", output)
        if not isinstance(logits, Tensor):
            raise UnsupportedModelError(
                f"{type(module).__name__} returned {type(output).__name__}, which is neither a "
                "tensor of logits nor an object with .logits"
            )
        tensors = [one.x for one in features if one.x.requires_grad]
        gradients = (
            torch.autograd.grad(logits.sum(), tensors, allow_unused=True)
            if logits.requires_grad and len(tensors) == len(features)
            else [None] * len(features)
        )
    for one, gradient in zip(reversed(features), reversed(gradients), strict=True):
        if gradient is None:
            continue
        reached = SpatialFeatures(gradient, one.grid, one.prefix_tokens).channels()
        if reached.any():
            weights = reached.mean(dim=2, keepdim=True)
            values = (weights * one.channels().detach()).sum(dim=1, keepdim=True)
            return SpatialFeatures(values.unflatten(2, one.size))
    raise UnsupportedModelError(
        f"no logit of {type(module).__name__} depends on a feature that can be read: features are "
        "copies for the reader, there is no classifier, or a class token is all that is read of a "
        "single block"
    )
