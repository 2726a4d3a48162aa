"""How removing a weight changes the norm of the gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.loss_gradients import (
    NEEDS,
    cross_entropy,
    leaf,
    no_gradient,
    weighted_layers,
)


def grasp(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    r"""Minus the sum of weights times the product of Hessian and gradient.

    .. math:: S = - \sum_l \sum_{ij} W_{l,ij} \, (H g)_{l,ij}, \quad
        g = \partial L / \partial W, \quad H = \partial^2 L / \partial W^2

    over the weights of all convolutions and linear layers. The loss is the mean cross entropy at
    temperature 1, and gradient and product are of the same batch, as in the code of the source.

    Args:
        module: Maps images to logits; runs in evaluation mode if that is its mode, with plain
            attention, whose second derivative exists. It is left as it was.
        images: ``[B, C, H, W]``.
        labels: int64 ``[B]``.

    Returns:
        Scalar, fp64, without history; higher is better. Deterministic. Served are all spaces.

    Raises:
        UnsupportedModelError: As `tvtfast.proxies.loss_gradients` does.
        ValueError: A label is no class of the logits.

    Source: Wang et al., "Picking Winning Tickets Before Training by Preserving Gradient Flow", ICLR
    2020; as a score Abdelfattah et al., ICLR 2021.
    """
    layers = weighted_layers(module)
    weights = {f"{name}.weight": leaf(layer.weight) for name, layer in layers.items()}
    leaves = list(weights.values())
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        loss = cross_entropy(module, weights, images, labels)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
        reached = [gradient for gradient in gradients if gradient is not None]
        if not reached:
            raise no_gradient(module)
        product = torch.stack([(g.detach() * g).sum() for g in reached]).sum()
        curved = torch.autograd.grad(product, leaves, allow_unused=True)
    terms = [
        (weight.detach() * part).double().sum()
        for weight, part in zip(leaves, curved, strict=True)
        if part is not None
    ]
    return -torch.stack(terms).sum()


def _compute(inputs: ProxyInputs) -> float:
    with inputs.running() as images:
        return grasp(inputs.module, images, inputs.labels).item()


register(
    Proxy(
        "grasp",
        _compute,
        needs=NEEDS,
        description="change of the gradient's norm when a weight is removed (GraSP, ICLR 2020)",
    )
)
