"""Weights times their gradients."""

from __future__ import annotations

from torch import Tensor

from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.loss_gradients import NEEDS, LossGradients, sum_over_layers


def plain(gradients: LossGradients) -> Tensor:
    r"""Sum of weights times gradients, with their signs.

    .. math:: S = \sum_l \sum_{ij} W_{l,ij} \, (\partial L / \partial W_l)_{ij}

    Args:
        gradients: Of `tvtfast.proxies.loss_gradients`.

    Returns:
        Scalar, fp64; higher is better, as its authors rank. Deterministic. Served are all spaces,
        and modules that `loss_gradients` serves.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021; Mozer and
    Smolensky, "Skeletonization", NeurIPS 1988.
    """
    return sum_over_layers(gradients, lambda layer: layer.products[0])


def _compute(inputs: ProxyInputs) -> float:
    return plain(inputs.gradients).item()


register(
    Proxy(
        "plain",
        _compute,
        needs=NEEDS,
        description="sum of weights times gradients (ICLR 2021)",
    )
)
