"""How many different codes the units of a network have over the images of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tvtfast.proxies.base import Proxy, ProxyInputs, register
from tvtfast.proxies.sign_patterns import sign_patterns

_BITS = 62
"""Images whose bits fit into one whole number."""


def swap(module: nn.Module, images: Tensor) -> Tensor:
    r"""Number of distinct sample-wise activation patterns.

    .. math:: \lvert \{ (c_u(x_1), \ldots, c_u(x_B)) : u \} \rvert

    where :math:`c_u(x)` says whether the input of rectifier ``u`` is positive for image ``x``. In
    a Vision Transformer units are the pre-activations of the GELUs of its MLPs, of every token; the
    paper's networks have ReLUs behind convolutions. It is at most ``2^B``, so take 16 images or
    more. The paper's regularised form multiplies by a bell curve over the parameter count, whose
    centre and width are the user's; constrain ``params`` instead.

    Args:
        module: Any network with ReLU, GELU, SiLU or the like; evaluated in evaluation mode, and
            left as it was.
        images: ``[B, C, H, W]``.

    Returns:
        Scalar, int64; higher is better. Deterministic.

    Raises:
        UnsupportedModelError: No rectifier was called.

    Source: Peng et al., "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS", ICLR 2024.
    """
    known: Tensor | None = None

    def see(active: Tensor) -> None:
        nonlocal known
        words = torch.stack([_word(part) for part in active.split(_BITS)], dim=1)
        known = _distinct(words if known is None else torch.cat((known, _distinct(words))))

    sign_patterns(module, images, see)
    assert known is not None
    return torch.tensor(len(known))


def _distinct(rows: Tensor) -> Tensor:
    """Different rows; those of one number at the speed of sorting numbers."""
    return rows.unique(dim=0) if rows.shape[1] > 1 else rows.flatten().unique()[:, None]


def _word(active: Tensor) -> Tensor:
    """Bits ``[b, n]`` as whole numbers ``[n]``."""
    word = torch.zeros(active.shape[1], dtype=torch.int64, device=active.device)
    for image in active:
        word = 2 * word + image
    return word


def _compute(inputs: ProxyInputs) -> float:
    return float(swap(inputs.module, inputs.images))


register(
    Proxy(
        "swap",
        _compute,
        needs=frozenset({"weights", "images"}),
        description="number of distinct codes of units over the images (SWAP, ICLR 2024)",
    )
)
