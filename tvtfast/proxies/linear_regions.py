"""Into how many linear regions of a network the images of a batch fall."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.proxies.base import Proxy, ProxyInputs, UndefinedScoreError, register
from tvtfast.proxies.sign_patterns import agreements


def linear_regions(module: nn.Module, images: Tensor) -> Tensor:
    r"""Number of distinct activation patterns among the images.

    .. math:: \lvert \{ (c_u(x_b))_u : b \} \rvert

    where :math:`c_u(x)` says whether the input of rectifier ``u`` is positive for image ``x``: in a
    network of ReLUs, the linear region that an image lies in. It tells networks apart where they
    have few units for many images; TE-NAS shows a thousand images of 3 x 3 pixels, which no Vision
    Transformer takes. A Vision Transformer has some 10^5 to 10^7 units, the pre-activations of
    every token, and puts every image into a region of its own. That is no score but the batch size,
    so it is refused.

    Args:
        module: Any network with ReLU, GELU, SiLU or the like; evaluated in evaluation mode, and
            left as it was.
        images: ``[B, C, H, W]``.

    Returns:
        Scalar, int64; higher is better. Deterministic.

    Raises:
        UnsupportedModelError: No rectifier was called.
        UndefinedScoreError: Every image has a pattern of its own.

    Source: Chen et al., "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically
    Inspired Perspective" (TE-NAS), ICLR 2021.
    """
    counts = agreements(module, images)
    equal = counts == counts.diagonal()[:, None]
    first = equal.int().argmax(dim=1)
    regions = first.unique().numel()
    if regions == len(images):
        raise UndefinedScoreError(
            f"every one of the {len(images)} images lies in a linear region of its own, so the "
            "count says nothing of the network; naswot and swap count finer, or show more images"
        )
    return torch.tensor(regions)


def _compute(inputs: ProxyInputs) -> float:
    return float(linear_regions(inputs.module, inputs.images))


register(
    Proxy(
        "linear_regions",
        _compute,
        needs=frozenset({"weights", "images"}),
        description="linear regions that the images fall into; nan where each has its own "
        "(TE-NAS, ICLR 2021)",
    )
)
