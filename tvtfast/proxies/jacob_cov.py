"""How alike the gradients of a network are at different images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.models import UnsupportedModelError, temporary_mode
from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.network import ZERO_CLASSIFIER, like_weights, logits_of

RIDGE = 1e-5


def jacob_cov(module: nn.Module, images: Tensor) -> Tensor:
    r"""Score of the correlations between the input gradients of the images.

    .. math:: -\sum_i \left( \log(\lambda_i + k) + \frac{1}{\lambda_i + k} \right), \qquad k =
        10^{-5}

    where :math:`\lambda_i` are the eigenvalues of the correlation matrix ``[B, B]`` of the
    gradients of the summed logits with respect to each image. The network must keep images apart in
    evaluation mode, as layer norms and batch norms do, so that one backward pass serves them all.

    Args:
        module: Any network; evaluated in evaluation mode. Nothing of it is written to, gradients
            included.
        images: ``[B, C, H, W]``, two or more, converted to the dtype of the weights and moved to
            their device.

    Returns:
        Scalar, fp64, without history; higher is better. Gradients have the dtype of the weights,
        correlations are fp64. Deterministic.

    Raises:
        UnsupportedModelError: No logits, or no gradient reaches the images.
        UndefinedScoreError: A gradient is constant over its image, NaN or infinite, or all are 0,
            as in a network whose classifier is initialised with zeros.

    Source: Mellor et al., "Neural Architecture Search without Training", first version
    (arXiv 2006.04647v1); ``jacob_cov`` of Abdelfattah et al., "Zero-Cost Proxies for Lightweight
    NAS", ICLR 2021.
    """
    shown = like_weights(module, images).detach().requires_grad_()
    with temporary_mode(module, training=False), torch.enable_grad():
        total = logits_of(module, module(shown)).sum()
        gradients = None
        if total.requires_grad:
            (gradients,) = torch.autograd.grad(total, shown, allow_unused=True)
        if gradients is None:
            raise UnsupportedModelError(
                f"no gradient of {type(module).__name__} reaches its images; it may run without "
                "gradients inside"
            )
    rows = gradients.flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    lengths = rows.norm(dim=1, keepdim=True)
    if not gradients.any():
        raise UndefinedScoreError(f"all input gradients are 0; {ZERO_CLASSIFIER}")
    if not (lengths.isfinite().all() and lengths.all()):
        raise UndefinedScoreError(
            "input gradients have no correlation: one is constant over its image, NaN or infinite"
        )
    eigenvalues = torch.linalg.eigvalsh(kernels.gram(rows / lengths)) + RIDGE
    return -(eigenvalues.log() + eigenvalues.reciprocal()).sum()


def _compute(inputs: ProxyInputs) -> float:
    return jacob_cov(inputs.module, inputs.images).item()


register(
    Proxy(
        "jacob_cov",
        _compute,
        needs=frozenset({"weights", "images", "gradients"}),
        description="how little the input gradients of images correlate (jacob_cov, ICLR 2021)",
    )
)
