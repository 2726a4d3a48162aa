"""How differently a network treats the images of a batch, by which units are active."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.sign_patterns import agreements


def naswot(module: nn.Module, images: Tensor) -> Tensor:
    r"""Log-determinant of the kernel of agreeing units.

    .. math:: \log \lvert \det K \rvert, \qquad K_{ij} = \sum_u [c_u(x_i) = c_u(x_j)]

    where :math:`c_u(x)` says whether the input of rectifier ``u`` is positive for image ``x``: the
    number of units less the Hamming distance of two images' codes. In a Vision Transformer units
    are the pre-activations of the GELUs of its MLPs, of every token; the paper's networks have
    ReLUs. Weights are those given; the paper's are drawn like them.

    Args:
        module: Any network with ReLU, GELU, SiLU or the like; evaluated in evaluation mode, and
            left as it was.
        images: ``[B, C, H, W]``, two or more.

    Returns:
        Scalar, fp64; higher is better. Counts are exact; deterministic.

    Raises:
        UnsupportedModelError: No rectifier was called.
        UndefinedScoreError: The kernel is singular, as it is where two images have equal codes.

    Source: Mellor et al., "Neural Architecture Search without Training", ICML 2021.
    """
    kernel = agreements(module, images)
    sign, log_determinant = torch.linalg.slogdet(kernel)
    equal = (kernel == kernel.diagonal()[:, None]).sum() > len(images)
    if equal or not sign:
        raise UndefinedScoreError(
            f"the kernel of {len(images)} images is singular: two of them switch the same units on;"
            " are there equal images in the batch?"
        )
    return log_determinant


def _compute(inputs: ProxyInputs) -> float:
    return naswot(inputs.module, inputs.images).item()


register(
    Proxy(
        "naswot",
        _compute,
        needs=frozenset({"weights", "images"}),
        description="log-determinant of how many units agree between images (NASWOT, ICML 2021)",
    )
)
