"""The score of TF-TAS: synaptic diversity of attention, synaptic saliency of everything else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.models import UnsupportedModelError, temporary_mode
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import ZERO_CLASSIFIER, input_shape, like_weights, logits_of
from tvtfast.proxies.nuclear_norms import known_nuclear_norms, nuclear_norms

_ATTENTION = {"attn", "attention", "self_attention", "self_attn"}
_PROJECTIONS = {"qkv", "q", "k", "v", "kv", "query", "key", "value", "in_proj_weight"}
_KNOWN: dict[str, float] = {}
"""Nuclear norms of weights that were met: candidates share weights, and theirs come again."""


def dss(module: nn.Module, *, img_size: int | tuple[int, int]) -> Tensor:
    r"""Synaptic diversity of attention weights plus synaptic saliency of the other linear weights.

    .. math:: \sum_{W \in \mathrm{attention}} \lVert \partial L / \partial W \rVert_*
        \lVert W \rVert_* + \sum_{W \notin \mathrm{attention}} \sum_{ij}
        |\partial L / \partial W_{ij} \, W_{ij}|

    where ``L`` is the sum of the logits for one image of ones, with every parameter and buffer of
    the network replaced by its absolute value. Attention weights are those of linear layers inside
    a module named ``attn``, ``attention`` or ``self_attention``, those named as projections of
    queries, keys and values, and, as in the released code, square ones. Convolutions, norms,
    biases, tokens and positions take no part.

    Args:
        module: Any network with attention and linear layers; evaluated in evaluation mode. Nothing
            of it is written to, gradients included.
        img_size: Height and width of its images.

    Returns:
        Scalar, fp64, without history; higher is better. It depends on weights alone, and is
        deterministic.

    Raises:
        UnsupportedModelError: There are no attention weights, or no logits.
        UndefinedScoreError: A gradient is NaN or infinite, or none reaches a weight, as in a
            network whose classifier is initialised with zeros.

    Source: Zhou et al., "Training-free Transformer Architecture Search", CVPR 2022.
    """
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    state = {
        name: tensor.detach().abs() if tensor.is_floating_point() else tensor
        for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }
    attention, others = _weights(module)
    if not attention:
        raise UnsupportedModelError(
            f"{type(module).__name__} has no attention weights: linear layers inside a module named"
            f" {', '.join(sorted(_ATTENTION))}, or named {', '.join(sorted(_PROJECTIONS))}"
        )
    weights = [state[name].requires_grad_() for name in (*attention, *others)]
    ones = like_weights(module, torch.ones(1, *input_shape(module, size)))
    with temporary_mode(module, training=False), torch.enable_grad():
        output = torch.func.functional_call(module, state, (ones,))
        total = logits_of(module, output).sum()
        gradients = torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)
    if not all(g.sum().isfinite() or g.isfinite().all() for g in gradients):
        raise UndefinedScoreError("gradients with absolute weights are NaN or infinite")
    pairs = [(w.detach(), g) for w, g in zip(weights, gradients, strict=True)]
    diverse, salient = pairs[: len(attention)], pairs[len(attention) :]
    of_weights = known_nuclear_norms([w for w, _ in diverse], _KNOWN)
    of_gradients = nuclear_norms([g for _, g in diverse])
    saliency = sum((_sum_of_sizes(w * g) for w, g in salient), of_weights.new_zeros(()))
    score = of_weights @ of_gradients + saliency
    if not score:
        raise UndefinedScoreError(f"no gradient reaches a weight; {ZERO_CLASSIFIER}")
    return score


def _sum_of_sizes(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, ord=1, dtype=torch.float64)


def _weights(module: nn.Module) -> tuple[list[str], list[str]]:
    """Names of the matrices of attention, and of other linear layers."""
    attention: list[str] = []
    others: list[str] = []
    for path, layer in module.named_modules():
        if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None:
            attention.append(f"{path}.in_proj_weight".removeprefix("."))
        if not isinstance(layer, nn.Linear):
            continue
        *outer, last = path.split(".")
        square = layer.in_features == layer.out_features
        is_attention = square or last in _PROJECTIONS or not _ATTENTION.isdisjoint(outer)
        (attention if is_attention else others).append(f"{path}.weight".removeprefix("."))
    return attention, others


def _compute(inputs: ProxyInputs) -> float:
    return dss(inputs.module, img_size=inputs.img_size).item()


register(
    Proxy(
        "dss",
        _compute,
        needs=frozenset({"weights", "gradients"}),
        description="synaptic diversity of attention and saliency of other weights (TF-TAS, "
        "CVPR 2022)",
        version=2,
        read_only=True,
    )
)
