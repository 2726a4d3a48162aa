"""How far the channels of every block are from repeating each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tvtfast.models import SpatialFeatures, extract_features
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import at_least_single


def meco(features: Sequence[SpatialFeatures]) -> Tensor:
    r"""Smallest eigenvalues of the correlations between channels, summed over blocks.

    .. math:: \sum_l \lambda_{\min}(P_l)

    where :math:`P_l` is the matrix ``[C, C]`` of Pearson correlations between the channels of block
    ``l``. The paper correlates over the positions of one image of a ConvNet, which has more of them
    than channels. A Vision Transformer mostly has fewer, and :math:`P_l` would be singular whatever
    its weights; so correlations are over the positions of all images. Of one image both are the
    same. Tokens before the patches are left out. The released code takes the outputs of all
    modules, here it is those of the blocks.

    Args:
        features: Of every block, first to last.

    Returns:
        Scalar, fp64; higher is better. Correlations are fp64. Deterministic.

    Raises:
        UndefinedScoreError: A block has no more positions than channels, or a channel is constant,
            NaN or infinite.

    Source: Jiang et al., "MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum
    Eigenvalue of Correlation", NeurIPS 2023.
    """
    return torch.stack([_smallest(one, block) for block, one in enumerate(features)]).sum()


def _smallest(features: SpatialFeatures, block: int) -> Tensor:
    maps = at_least_single(features.channels())
    images, channels, positions = maps.shape
    if images * positions <= channels:
        raise UndefinedScoreError(
            f"block {block} has {channels} channels and {images * positions} positions in "
            f"{images} images, so their correlations are singular whatever the network; show "
            f"{channels // positions + 1} images or more"
        )
    rows = maps.transpose(0, 1).flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    lengths = rows.norm(dim=1, keepdim=True)
    if not (lengths.isfinite().all() and lengths.all()):
        raise UndefinedScoreError(f"a channel of block {block} is constant, NaN or infinite")
    rows = rows / lengths
    return torch.linalg.eigvalsh(rows @ rows.T)[0]


def _compute(inputs: ProxyInputs) -> float:
    with inputs.running() as images:
        return meco(extract_features(inputs.module, images, feature_fn=inputs.feature_fn)).item()


def _per_block(inputs: ProxyInputs, block: int) -> float:
    return _smallest(inputs.features, block).item()


register(
    Proxy(
        "meco",
        _compute,
        needs=frozenset({"weights", "images"}),
        description="smallest eigenvalues of the correlations of channels (MeCo, NeurIPS 2023)",
        per_block=_per_block,
        of_blocks=math.fsum,
    )
)
