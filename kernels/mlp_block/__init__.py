"""Public MLP block operator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["mlp_block"]


def mlp_block(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    *,
    hidden: Sequence[int] | None = None,
    eps: float = 1e-5,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """MLP block of an untrained ViT, for one width of its hidden layer or for several at once.

    ``out_k = x + b2 + W2[:, :k] GELU(W1[:k] norm(x) + b1[:k])`` with the layer normalisation
    without weights of :func:`~tvtfast.kernels.layer_norm` and the exact GELU.

    Args:
        x: Tokens ``[*, C]``, fp32, fp16, bf16 or fp64, any strides (no copy where the channels of a
            token are adjacent and tokens lie at one stride).
        w1: ``[H, C]``, weight of the first layer, of the dtype of ``x`` like all others.
        b1: ``[H]``, its bias, or None.
        w2: ``[C, H]``, weight of the second layer.
        b2: ``[C]``, its bias, or None.
        hidden: Widths k of hidden layers, increasing, at most H. Those of narrower ones are the
            beginnings of wider ones, so all cost little more than the widest. Default: H alone,
            and a result without the leading dimension.
        eps: Added to the variance.
        out: Contiguous tensor for the result that shares no memory with the arguments. Default: a
            new one.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[len(hidden), *, C]`` of the dtype of ``x``; ``[*, C]`` where ``hidden`` is None.

    Meant for forward passes: in half precision on a GPU, where the Triton backend keeps the hidden
    layer on chip, and on the CPU, where the C++ backend keeps it in the cache and gives the bits of
    :func:`~tvtfast.kernels.linear`, called for each layer. Elsewhere, and where gradients are
    recorded, it is PyTorch's norm, products and GELU, at the precision of fp32 products that
    PyTorch is set to. Autocast leaves it alone. Sums are fp32 (fp64 for fp64); what is multiplied
    is rounded to the dtype first (on the CPU the norm may not be). Sums have an order fixed by the
    shapes. Error bound: :func:`tvtfast.kernels.mlp_block.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or they differ in dtype.
        ValueError: Shapes, widths, devices or ``out`` do not fit.
        RuntimeError: ``out`` is given where gradients are recorded or inside a transform.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, eq. 3; widths that share
    weights as in Chen et al., AutoFormer, ICCV 2021, section 3.2.
    """
    widths = _widths(x, w1, b1, w2, b2, hidden)
    shape = (len(widths), *x.shape) if hidden is not None else tuple(x.shape)
    operands = (x, w1, b1, w2, b2)
    rows = x if x.dim() == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if out is not None:
        checks.check_out("mlp_block", out, x, shape)
    if transforms.takes_reference("mlp_block", backend, *operands):
        if out is not None:
            raise RuntimeError(
                "mlp_block: out= has no derivative, and gradients are recorded or a torch.func"
                " transform is active; leave it out, or use torch.no_grad()"
            )
        return reference.forward(rows, w1, b1, w2, b2, widths, eps).reshape(shape)
    if out is None:
        out = torch.empty(shape, dtype=x.dtype, device=x.device)
    results = out.view(len(widths), *rows.shape)
    call = Arguments(rows, w1, b1, w2, b2, widths, eps, results)
    execute("mlp_block", call, backend, *operands, out)
    return out


def _widths(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int] | None,
) -> list[int]:
    """The widths, once everything is known to fit together."""
    checks.check_dtype("mlp_block", "x", x)
    checks.check_dtype("mlp_block", "w1", w1)
    if x.dim() == 0 or 0 in (x.shape[-1], *w1.shape) or w1.dim() != 2:
        raise ValueError(
            f"mlp_block: x has shape {tuple(x.shape)} and w1 {tuple(w1.shape)}; pass tokens"
            " [*, channels] and [hidden, channels], with one or more of each"
        )
    channels, widest = x.shape[-1], w1.shape[0]
    checks.check_weights(
        "mlp_block",
        x,
        {
            "w1": (w1, (widest, channels)),
            "w2": (w2, (channels, widest)),
            "b1": (b1, (widest,)),
            "b2": (b2, (channels,)),
        },
    )
    return checks.increasing("mlp_block", "hidden", hidden, widest, "the rows of w1")
