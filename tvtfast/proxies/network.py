"""What proxies ask of any network: its logits, its inputs, and a run with other weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.models import CandidateModel, UnsupportedModelError

ZERO_CLASSIFIER = (
    "is the classifier initialised with zeros, as that of torchvision's ViT is? Draw its weights"
)
"""What to do where no gradient passes the logits."""


def logits_of(module: nn.Module, output: Any) -> Tensor:
    """The logits ``[B, *]`` in what a network returned: a tensor, or an object with ``logits``.

    Raises:
        UnsupportedModelError: It returned something else.
    """
    found = getattr(output, "logits", output)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise UnsupportedModelError(
            f"{type(module).__name__} returned {type(output).__name__}, which is neither a tensor "
            "of logits nor an object with .logits; wrap it in a module that returns them"
        )
    return found


def input_shape(module: nn.Module, img_size: tuple[int, int]) -> tuple[int, int, int]:
    """Channels, height and width of the images that a network is for; three channels where it
    does not say."""
    channels = module.options.in_chans if isinstance(module, CandidateModel) else 3
    return (channels, *img_size)


def like_weights(module: nn.Module, x: Tensor) -> Tensor:
    """A tensor on the device and in the dtype of a network's weights."""
    weight = next((p for p in module.parameters() if p.is_floating_point()), x)
    return x.to(weight.device, weight.dtype)


def at_least_single(x: Tensor) -> Tensor:
    """A tensor in fp32, or in fp64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
