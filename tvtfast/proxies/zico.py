"""Means of gradients over their deviations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.models import UnsupportedModelError
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.loss_gradients import NEEDS, loss_gradients

BATCHES = 2
"""Batches of the published score."""


def zico(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    r"""Sum over layers of the logarithm of summed ratios of mean and deviation of gradients.

    .. math:: S = \sum_l \log \sum_{ij} \frac{\frac1M \sum_m |g^m_{l,ij}|}{\sigma_m(g^m_{l,ij})}

    for the gradients ``g^m`` of ``M = 2`` batches, here the halves of one (of an odd number of
    images the first is the larger). Deviations are those of a population. Weights whose gradients
    are equal in both halves are left out, and so is a layer of no others.

    Args:
        module: Maps images to logits; runs in the mode it is in, and is left as it was.
        images: ``[B, C, H, W]``, at least two.
        labels: int64 ``[B]``.

    Returns:
        Scalar, fp64, without history; higher is better. Deterministic. Served are all spaces, and
        modules that `tvtfast.proxies.loss_gradients` serves.

    Raises:
        UndefinedScoreError: Fewer than two images, or gradients that are equal everywhere.
        UnsupportedModelError, ValueError: As `tvtfast.proxies.loss_gradients` does.

    Source: Li et al., "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", ICLR
    2023.
    """
    if len(images) < BATCHES:
        raise UndefinedScoreError(
            f"zico compares gradients of {BATCHES} batches, and there is {len(images)} image; give "
            "more"
        )
    halves = [
        {layer.name: layer.gradient for layer in loss_gradients(module, shown, given).layers}
        for shown, given in zip(images.chunk(BATCHES), labels.chunk(BATCHES), strict=True)
    ]
    terms = []
    for name, first in halves[0].items():
        second = halves[1].get(name)
        if second is None:
            raise UnsupportedModelError(f"{name} receives a gradient from one half of the images")
        mean = (first.abs() + second.abs()).double() / 2
        deviation = (first.double() - second.double()).abs() / 2
        ratios = (mean / deviation)[deviation > 0]
        if len(ratios):
            terms.append(ratios.sum().log())
    if not terms:
        raise UndefinedScoreError("gradients of both halves of the images are equal everywhere")
    return torch.stack(terms).sum()


def _compute(inputs: ProxyInputs) -> float:
    with inputs.running() as images:
        return zico(inputs.module, images, inputs.labels).item()


register(
    Proxy(
        "zico",
        _compute,
        needs=NEEDS,
        description="mean over deviation of gradients of two half batches (ZiCo, ICLR 2023)",
    )
)
