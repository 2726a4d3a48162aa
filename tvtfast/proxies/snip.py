"""Sensitivity of the loss to every connection."""

from __future__ import annotations

from torch import Tensor

from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.loss_gradients import NEEDS, LossGradients, sum_over_layers


def snip(gradients: LossGradients) -> Tensor:
    r"""Sum of the absolute products of weights and gradients.

    .. math:: S = \sum_l \sum_{ij} | W_{l,ij} \, (\partial L / \partial W_l)_{ij} |

    The gradient with respect to a mask of ones on a weight, which the paper has, is this product.
    It is not divided by its sum, which would make all candidates equal.

    Args:
        gradients: Of `tvtfast.proxies.loss_gradients`.

    Returns:
        Scalar, fp64; higher is better. Deterministic. Served are all spaces, and modules that
        `loss_gradients` serves.

    Source: Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR
    2019; as a score Abdelfattah et al., ICLR 2021.
    """
    return sum_over_layers(gradients, lambda layer: layer.products[1])


def _compute(inputs: ProxyInputs) -> float:
    return snip(inputs.gradients).item()


register(
    Proxy(
        "snip",
        _compute,
        needs=NEEDS,
        description="sensitivity of the loss to every weight (SNIP, ICLR 2019)",
    )
)
