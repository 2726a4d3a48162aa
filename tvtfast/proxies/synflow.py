"""Synaptic flow, as a logarithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tvtfast.models import temporary_mode
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.loss_gradients import no_gradient, weighted_layers
from tvtfast.proxies.network import input_shape, logits_of
from tvtfast.proxies.resolved_attention import ResolvedAttention

_NORMS = frozenset({F.layer_norm, F.batch_norm, F.group_norm, F.instance_norm, F.rms_norm})


def synflow(module: nn.Module, *, img_size: int | tuple[int, int]) -> Tensor:
    r"""Logarithm of the summed saliency of all weights for an image of ones.

    .. math:: S = \log \sum_l \sum_{ij} | W_{l,ij} \, (\partial R / \partial W_l)_{ij} |, \quad
        R = \sum_k f_{|\theta|}(1)_k

    where all parameters are replaced by their absolute values and every norm passes its input
    through, as published code bypasses batch norms. Attention and GELU stay. The sum grows with
    depth beyond fp32; its logarithm ranks as it does. It is computed in fp64, and as in exact
    arithmetic where products of queries and keys are beyond it
    (`tvtfast.proxies.resolved_attention`): of 12 blocks and more, plain fp64 would return rounding
    errors, multiplied by those products, as nearly all of the sum.

    Args:
        module: Maps images to logits; runs in evaluation mode and is left as it was.
        img_size: Height and width of the image.

    Returns:
        Scalar, fp64, without history; higher is better. Deterministic. Served are all spaces, and
        modules of convolutions and linear layers that run in fp64.

    Raises:
        UndefinedScoreError: The sum is zero, or activations are beyond fp64, as of about 100 blocks
            of the width of ``autoformer-tiny``.
        UnsupportedModelError: No convolution or linear layer receives a gradient, or projections
            lie elsewhere (``nn.MultiheadAttention``), or the module returns no logits.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively conserving
    synaptic flow", NeurIPS 2020; as a score Abdelfattah et al., ICLR 2021.
    """
    layers = weighted_layers(module)
    state = {
        name: tensor.detach().double().abs() if tensor.is_floating_point() else tensor
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    weights = [state[f"{name}.weight"].requires_grad_() for name in layers]
    with torch.enable_grad(), temporary_mode(module, training=False), ResolvedAttention():
        flow = _flow(module, state, _ones(module, weights[0], img_size))
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
    terms = [
        (weight.detach() * gradient).abs().sum()
        for weight, gradient in zip(weights, gradients, strict=True)
        if gradient is not None
    ]
    if not terms:
        raise no_gradient(module)
    total = torch.stack(terms).log().logsumexp(dim=0)
    if not total.isfinite():
        raise UndefinedScoreError(f"the logarithm of the synaptic flow is {total.item()}")
    return total


class _NormsPassThrough(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in _NORMS else func(*args, **(kwargs or {}))


def _flow(module: nn.Module, state: Mapping[str, Tensor], ones: Tensor) -> Tensor:
    with _NormsPassThrough():
        output = torch.func.functional_call(module, dict(state), (ones,))
    logits = logits_of(module, output)
    if not logits.requires_grad:
        raise no_gradient(module)
    return logits.sum()


def _ones(module: nn.Module, like: Tensor, img_size: int | tuple[int, int]) -> Tensor:
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    return like.new_ones((1, *input_shape(module, size)))


def _compute(inputs: ProxyInputs) -> float:
    return synflow(inputs.module, img_size=inputs.img_size).item()


register(
    Proxy(
        "synflow",
        _compute,
        needs=frozenset({"weights", "gradients"}),
        version=2,
        description="logarithm of the synaptic flow (SynFlow, NeurIPS 2020)",
    )
)
