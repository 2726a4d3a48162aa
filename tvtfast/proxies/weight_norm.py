"""The student-capability metric of TVT."""

from __future__ import annotations

from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.proxies.base import Proxy, ProxyInputs, StepInputs, register


def normed_weights(module: nn.Module) -> list[Tensor]:
    """Weights of all convolutions and linear layers, classifiers included; no biases."""
    return [
        layer.weight.detach()
        for layer in module.modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    ]


def weight_norm(module: nn.Module) -> Tensor:
    r"""Sum of the L2 norms of all convolution and linear weights.

    .. math:: S = \sum_l \lVert W_l \rVert_F

    Returns:
        Scalar, fp64, without history; higher is better. To train with it, sum
        `tvtfast.kernels.segment_norms` of the weights, which has a gradient.

    Source: TVT (arXiv 2311.14337), student-capability metric.
    """
    return kernels.segment_norms(normed_weights(module)).double().sum()


def _compute(inputs: ProxyInputs) -> float:
    return weight_norm(inputs.module).item()


def _per_step(step: StepInputs) -> float:
    return sum(step.weight_norms)


WEIGHT_NORM = register(
    Proxy(
        "weight_norm",
        _compute,
        needs=frozenset({"weights"}),
        description="sum of the L2 norms of all weights (TVT, arXiv 2311.14337)",
        per_step=_per_step,
        read_only=True,
    )
)
