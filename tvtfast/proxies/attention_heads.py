"""How widely the heads of an untrained Vision Transformer look, and how much they look alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tvtfast.kernels import SelfAttentionStats
from tvtfast.models import attention_stats
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import like_weights


def attention_entropy(module: nn.Module, images: Tensor) -> Tensor:
    r"""Mean entropy of attention, as a share of that of uniform attention.

    .. math:: \frac{1}{L} \sum_l \mathrm{mean}_{b,h,i}
        \frac{-\sum_j P^l_{bhij} \log P^l_{bhij}}{\log M_l}

    over layers ``l``, images, heads and queries, with ``M_l`` keys. No attention map is formed
    where the model leaves that to PyTorch, see `tvtfast.models.attention_stats`.

    Args:
        module: A ViT that `tvtfast.models.attention_stats` knows; left as it was.
        images: ``[B, C, H, W]``, converted to the dtype of the weights and moved to their device.

    Returns:
        Scalar, fp64, without history, from 0 (one token) to 1 (all alike); higher is better, as
        attention that collapses on few tokens trains badly. Deterministic.

    Raises:
        UnsupportedModelError: No attention between tokens was called.
        UndefinedScoreError: No layer has more than one key.

    Source: Zhai et al., "Stabilizing Transformer Training by Preventing Attention Entropy
    Collapse", ICML 2023.
    """
    stats = attention_stats(module, like_weights(module, images), statistics=("row_entropy",))
    shares = [
        _of(one.row_entropy).double().mean() / math.log(stats.layers[name].keys)
        for name, one in stats.items()
        if stats.layers[name].keys > 1
    ]
    if not shares:
        raise UndefinedScoreError("no layer attends to more than one token")
    return torch.stack(shares).mean()


def head_similarity(module: nn.Module, images: Tensor) -> Tensor:
    r"""Mean correlation between where two heads of a layer look.

    .. math:: \frac{1}{L} \sum_l \mathrm{mean}_{b, h \ne h'} \mathrm{corr}(a^l_{bh}, a^l_{bh'})

    where :math:`a^l_{bhj} = \sum_i P^l_{bhij}` is the attention that token ``j`` receives. Layers
    of one head, or of one token, say nothing and take no part.

    Args:
        module: A ViT that `tvtfast.models.attention_stats` knows; left as it was.
        images: ``[B, C, H, W]``, converted to the dtype of the weights and moved to their device.

    Returns:
        Scalar, fp64, without history, from -1 to 1; lower is better: heads that look elsewhere add
        something. Deterministic.

    Raises:
        UnsupportedModelError: No attention between tokens was called.
        UndefinedScoreError: Every layer has one head or one token, or a head spreads its attention
            evenly.

    Source: The statistic is that of `tvtfast.kernels.self_attention_stats`; diversity of heads as
    in Zhou et al., "DeepViT: Towards Deeper Vision Transformer", arXiv 2103.11886.
    """
    stats = attention_stats(module, like_weights(module, images), statistics=("column_sums",))
    means = [_pairs(one) for one in _with_pairs(stats.values())]
    if not means:
        raise UndefinedScoreError("every layer has one head or one token, so heads cannot differ")
    similarity = torch.stack(means).mean()
    if not similarity.isfinite():
        raise UndefinedScoreError(
            "a head gives every token the same attention, which correlates with nothing, or NaN"
        )
    return similarity


def _with_pairs(stats: Iterable[SelfAttentionStats]) -> list[Tensor]:
    found = [_of(one.column_sums) for one in stats]
    return [received for received in found if min(received.shape[1:]) > 1]


def _pairs(received: Tensor) -> Tensor:
    """Mean correlation of the heads of a layer, from ``[b, H, M]``."""
    heads = received.shape[1]
    rows = received.double()
    rows = rows - rows.mean(dim=-1, keepdim=True)
    rows = normalize(rows, dim=-1, eps=0.0)
    correlation = rows @ rows.mT
    own = correlation.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ((correlation.sum(dim=(-2, -1)) - own) / (heads * (heads - 1))).mean()


def _of(statistic: Tensor | None) -> Tensor:
    assert statistic is not None
    return statistic


def _entropy(inputs: ProxyInputs) -> float:
    return attention_entropy(inputs.module, inputs.images).item()


def _similarity(inputs: ProxyInputs) -> float:
    return head_similarity(inputs.module, inputs.images).item()


register(
    Proxy(
        "attention_entropy",
        _entropy,
        needs=frozenset({"weights", "images"}),
        description="entropy of attention as a share of the uniform one (ICML 2023)",
    )
)
register(
    Proxy(
        "head_similarity",
        _similarity,
        higher_is_better=False,
        needs=frozenset({"weights", "images"}),
        description="correlation of where two heads of a layer look (DeepViT, arXiv 2103.11886)",
    )
)
