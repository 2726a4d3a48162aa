"""Norm of the gradients of a batch."""

from __future__ import annotations

from torch import Tensor

from tvtfast import kernels
from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.loss_gradients import NEEDS, LossGradients


def grad_norm(gradients: LossGradients) -> Tensor:
    r"""Sum of the L2 norms of the gradients of all convolution and linear weights.

    .. math:: S = \sum_l \lVert \partial L / \partial W_l \rVert_F

    Args:
        gradients: Of `tvtfast.proxies.loss_gradients`.

    Returns:
        Scalar, fp64; higher is better. Deterministic. Served are all spaces, and modules that
        `loss_gradients` serves.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021.
    """
    norms = kernels.segment_norms([layer.gradient for layer in gradients.layers])
    return norms.double().sum()


def _compute(inputs: ProxyInputs) -> float:
    return grad_norm(inputs.gradients).item()


register(
    Proxy(
        "grad_norm",
        _compute,
        needs=NEEDS,
        description="sum of the norms of the gradients of all weights (ICLR 2021)",
    )
)
