"""The score of AZ-NAS: expressivity, progressivity, trainability and complexity.

Complexity is the FLOPs of the candidate, the proxy ``flops``. `AZ_NAS` combines the four by the
method ``log_rank_sum`` of `tvtfast.rank`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.models import (
    FeatureFn,
    SpatialFeatures,
    UnsupportedModelError,
    extract_features,
    temporary_mode,
)
from tvtfast.proxies.base import (
    CombinedProxy,
    Proxy,
    ProxyInputs,
    UndefinedScoreError,
    register,
)
from tvtfast.proxies.complexity import BASELINES
from tvtfast.proxies.network import at_least_single, like_weights


def block_entropies(features: Sequence[SpatialFeatures]) -> Tensor:
    r"""How isotropic the features of every block are.

    .. math:: s_l = -\sum_i \tilde\lambda_i \log \tilde\lambda_i, \qquad
        \tilde\lambda = \lambda / \sum_i \lambda_i

    with the eigenvalues :math:`\lambda` of the covariance ``[C, C]`` of the channels over all
    positions of all images. Tokens before the patches are left out.

    Args:
        features: Of every block, first to last.

    Returns:
        ``[L]``, fp64, in nats, from 0 (one direction) to ``log C`` (all alike).

    Raises:
        UndefinedScoreError: Features of a block are constant, NaN or infinite.
    """
    return torch.stack([_entropy(one, block) for block, one in enumerate(features)])


def _entropy(features: SpatialFeatures, block: int) -> Tensor:
    rows = at_least_single(features.channels()).mT.flatten(0, 1).double()
    rows = rows - rows.mean(dim=0)
    # both products have the same eigenvalues above 0
    smaller = rows.T if rows.shape[1] <= len(rows) else rows
    covariance = smaller @ smaller.T
    total = covariance.trace()
    if not (total.isfinite() and total > 0):
        raise UndefinedScoreError(f"the features of block {block} are constant, NaN or infinite")
    shares = torch.linalg.eigvalsh(covariance / total).clamp_min(0)
    return torch.special.entr(shares / shares.sum()).sum()


def _block_entropy(inputs: ProxyInputs, block: int) -> float:
    return _entropy(inputs.features, block).item()


def az_expressivity(features: Sequence[SpatialFeatures]) -> Tensor:
    r"""Isotropy of the features, summed over blocks, :math:`\sum_l s_l` of `block_entropies`.

    Returns:
        Scalar, fp64; higher is better. Deterministic.

    Source: Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search",
    CVPR 2024.
    """
    return block_entropies(features).sum()


def az_progressivity(features: Sequence[SpatialFeatures]) -> Tensor:
    r"""Least growth of isotropy from a block to the next, :math:`\min_l (s_{l+1} - s_l)`.

    Returns:
        Scalar, fp64; higher is better. Deterministic.

    Raises:
        UndefinedScoreError: There is one block alone.

    Source: As `az_expressivity`.
    """
    entropies = block_entropies(features)
    return entropies.new_tensor(_least_growth(entropies.tolist()))


def _least_growth(entropies: Sequence[float]) -> float:
    if len(entropies) < 2:
        raise UndefinedScoreError("progressivity compares blocks, and there is one alone")
    return min(after - before for before, after in pairwise(entropies))


def az_trainability(
    module: nn.Module, images: Tensor, *, seed: int = 0, feature_fn: FeatureFn | None = None
) -> Tensor:
    r"""How close blocks are to keeping the length of gradients.

    .. math:: \frac{1}{L-1} \sum_{l=2}^{L} \left( 2 - \sigma_l - \frac{1}{\sigma_l} \right)

    with the largest singular value :math:`\sigma_l` of an estimate of the Jacobian of block ``l``
    between channels, the :math:`A_l` with the least :math:`\sum \lVert g_{l-1} - A_l g_l
    \rVert^2` over all positions and images. Here :math:`g_l` are random signs at the output of the
    block, one for every channel, position and image, and :math:`g_{l-1}` is what the backward pass
    makes of them at its input. Tokens before the patches get no sign. Where a block shrinks the
    grid, :math:`g_{l-1}` is averaged over the cells of the new one.

    The paper takes :math:`\mathrm{E}[g_l g_l^T]` for the identity it tends to, and the estimate is
    then the mean of :math:`g_{l-1} g_l^T`. With a few images there are hardly more positions than
    channels, and that mean says how many there are; the products of the signs drawn are divided out
    instead.

    Args:
        module: A candidate of tvtfast, or any network whose features, by ``feature_fn``, are those
            tensors that its next block takes; evaluated in evaluation mode. Nothing of it is
            written to, gradients included.
        images: ``[B, C, H, W]``, converted to the dtype of the weights and moved to their device.
        seed: Of the signs, which are keyed by index.
        feature_fn: How to read features, see `tvtfast.models.extract_features`.

    Returns:
        Scalar, fp64, without history; at most 0, higher is better. A function of its arguments.

    Raises:
        UndefinedScoreError: There is one block alone, or a Jacobian is 0, NaN or infinite.
        UnsupportedModelError: A block does not come from the features before it.

    Source: As `az_expressivity`.
    """
    shown = like_weights(module, images).detach().requires_grad_()
    with temporary_mode(module, training=False), torch.enable_grad():
        features = extract_features(module, shown, feature_fn=feature_fn)
        pairs = list(zip(features, features[1:], strict=False))
        if not pairs:
            raise UndefinedScoreError("trainability is of blocks behind the first; there is none")
        norms = [_spectral_norm(*pair, seed, block) for block, pair in enumerate(pairs, start=1)]
    sigma = torch.stack(norms)
    if not (sigma.isfinite().all() and sigma.all()):
        raise UndefinedScoreError("the Jacobian of a block is 0, NaN or infinite")
    return (2 - sigma - sigma.reciprocal()).mean()


def _spectral_norm(
    before: SpatialFeatures, after: SpatialFeatures, seed: int, block: int
) -> Tensor:
    signs = _signs(after, seed, block)
    given = signs.mT if after.grid else signs.unflatten(2, after.size)
    if after.prefix_tokens:
        given = F.pad(given, (0, 0, after.prefix_tokens, 0))
    gradient = None
    if before.x.requires_grad and after.x.requires_grad:
        (gradient,) = torch.autograd.grad(
            after.x, before.x, given, retain_graph=True, allow_unused=True
        )
    if gradient is None:
        raise UnsupportedModelError(
            f"the features of block {block} are not made of those before it: they are copies for "
            "the reader; pass feature_fn, returning the tensors that the next block takes"
        )
    reached = SpatialFeatures(gradient, before.grid, before.prefix_tokens)
    channels = at_least_single(reached.channels())
    if before.size != after.size:
        maps = channels.unflatten(2, before.size)
        channels = F.adaptive_avg_pool2d(maps, after.size).flatten(2)
    own, signs = (x.transpose(0, 1).flatten(1).double() for x in (channels, signs))
    inverse = torch.linalg.pinv(signs @ signs.T, hermitian=True)
    return torch.linalg.matrix_norm(own @ signs.T @ inverse, ord=2)


def _signs(features: SpatialFeatures, seed: int, block: int) -> Tensor:
    """Random signs ``[B, C, N]`` in the dtype of some features."""
    shape = features.channels().shape
    drawn = torch.empty(shape, device=features.x.device)
    kernels.indexed_normal_(drawn, seed=seed, name=f"az_trainability.{block}")
    return drawn.sign().to(features.x.dtype)


def _features(inputs: ProxyInputs) -> list[SpatialFeatures]:
    with inputs.running() as images:
        return extract_features(inputs.module, images, feature_fn=inputs.feature_fn)


def _expressivity(inputs: ProxyInputs) -> float:
    return az_expressivity(_features(inputs)).item()


def _progressivity(inputs: ProxyInputs) -> float:
    return az_progressivity(_features(inputs)).item()


def _trainability(inputs: ProxyInputs) -> float:
    return az_trainability(
        inputs.module, inputs.images, seed=inputs.seed, feature_fn=inputs.feature_fn
    ).item()


register(
    Proxy(
        "az_expressivity",
        _expressivity,
        needs=frozenset({"weights", "images"}),
        description="isotropy of the features, summed over blocks (AZ-NAS, CVPR 2024)",
        per_block=_block_entropy,
        of_blocks=math.fsum,
    )
)
register(
    Proxy(
        "az_progressivity",
        _progressivity,
        needs=frozenset({"weights", "images"}),
        description="least growth of isotropy from block to block (AZ-NAS, CVPR 2024)",
        per_block=_block_entropy,
        of_blocks=_least_growth,
    )
)
register(
    Proxy(
        "az_trainability",
        _trainability,
        needs=frozenset({"weights", "images", "gradients"}),
        description="how well blocks keep the length of gradients (AZ-NAS, CVPR 2024)",
    )
)
_, _FLOPS = BASELINES
AZ_NAS = register(
    CombinedProxy(
        "az_nas",
        ("az_expressivity", "az_progressivity", "az_trainability", _FLOPS),
        method="log_rank_sum",
        description="the four scores of AZ-NAS by log_rank_sum, FLOPs being complexity (CVPR 2024)",
    )
)
