"""Public operator of the attention half of a block."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from ..packed_attention import reference as packed_attention
from . import reference
from .definition import Arguments

__all__ = ["attention_block"]


def attention_block(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    *,
    num_heads: int,
    heads: Sequence[int] | None = None,
    eps: float = 1e-5,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Attention half of an untrained ViT block, for all its heads or for several numbers of them.

    ``out_k = x + b_proj + W_proj[:, :k D] [softmax(q_h k_h^T / sqrt(D)) v_h for the first k h]``
    with ``q, k, v = W_qkv norm(x) + b_qkv`` and the layer normalisation without weights of
    :func:`~tvtfast.kernels.layer_norm`.

    Args:
        x: Tokens ``[*, T, C]``, fp32, fp16, bf16 or fp64, any strides (no copy where the channels
            of a token are adjacent and tokens lie at one stride).
        w_qkv: ``[3 H D, C]``, weight of the fused projection, its rows laid out as ``(3, H, D)``:
            queries, keys and values of all heads; of the dtype of ``x`` like all others.
        b_qkv: ``[3 H D]``, its bias, or None.
        w_proj: ``[C, H D]``, weight of the projection of the merged heads.
        b_proj: ``[C]``, its bias, or None.
        num_heads: Number H of heads that the weights hold.
        heads: Numbers k of first heads, increasing, at most H. All see the same queries, keys and
            values, so they cost little more than the largest. Default: H alone, and a result
            without the leading dimension.
        eps: Added to the variance.
        out: Contiguous tensor for the result that shares no memory with the arguments. Default: a
            new one.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[len(heads), *, T, C]`` of the dtype of ``x``; ``[*, T, C]`` where ``heads`` is None.

    Meant for forward passes: on the CPU, where a few images at a time go through all of it, and in
    half precision on a GPU, where the Triton backend writes queries, keys and values to memory and
    nothing else. In C++ the result has the bits of :func:`~tvtfast.kernels.linear` with the norm,
    :func:`~tvtfast.kernels.packed_attention` and :func:`~tvtfast.kernels.linear` with the residual,
    one after the other, whatever the other images and the number of threads. Elsewhere, and where
    gradients are recorded, it is PyTorch's norm, products and
    :func:`torch.nn.functional.scaled_dot_product_attention`, differentiable once; inside
    ``torch.func`` transforms attention is the formula, differentiable any number of times. Autocast
    leaves it alone. Sums are fp32 (fp64 for fp64), in an order fixed by the shapes. Error bound:
    :func:`tvtfast.kernels.attention_block.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or they differ in dtype.
        ValueError: Shapes, numbers of heads, devices or ``out`` do not fit.
        RuntimeError: ``out`` is given where gradients are recorded or inside a transform.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021, eq. 2; heads that share
    weights as in Chen et al., AutoFormer, ICCV 2021, section 3.2; on a GPU one walk over the keys
    with a running maximum, as in Dao, FlashAttention-2, ICLR 2024, section 3.1.
    """
    counts = _counts(x, w_qkv, b_qkv, w_proj, b_proj, num_heads, heads)
    shape = (len(counts), *x.shape) if heads is not None else tuple(x.shape)
    weights = _first_heads(w_qkv, b_qkv, w_proj, num_heads, counts[-1])
    images = x if x.dim() == 3 else x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
    arguments = images, *weights, b_proj, counts, eps
    operands = (x, *weights, b_proj)
    if out is not None:
        checks.check_out("attention_block", out, x, shape)
    if transforms.takes_reference("attention_block", backend, *operands):
        if out is not None:
            raise RuntimeError(
                "attention_block: out= has no derivative, and gradients are recorded or a"
                " torch.func transform is active; leave it out, or use torch.no_grad()"
            )
        attend = packed_attention.formula if transforms.active() else packed_attention.forward
        return reference.forward(*arguments, attend).reshape(shape)
    if out is None:
        out = torch.empty(shape, dtype=x.dtype, device=x.device)
    results = out.view(len(counts), *images.shape)
    call = Arguments(*arguments, results)
    execute("attention_block", call, backend, *operands, out)
    return out


def _counts(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    num_heads: int,
    heads: Sequence[int] | None,
) -> list[int]:
    """The numbers of heads, once everything is known to fit together."""
    checks.check_dtype("attention_block", "x", x)
    checks.check_dtype("attention_block", "w_qkv", w_qkv)
    if x.dim() < 2 or w_qkv.dim() != 2 or 0 in (x.shape[-1], *w_qkv.shape):
        raise ValueError(
            f"attention_block: x has shape {tuple(x.shape)} and w_qkv {tuple(w_qkv.shape)}; pass"
            " [*, tokens, channels] and [3 * heads * dim, channels], with one channel and head or"
            " more"
        )
    channels, width = x.shape[-1], w_qkv.shape[0]
    if num_heads < 1 or width % (3 * num_heads):
        raise ValueError(
            f"attention_block: the {width} rows of w_qkv do not split into queries, keys and values"
            f" of num_heads={num_heads} heads; they must be a multiple of {3 * max(num_heads, 1)}"
        )
    checks.check_weights(
        "attention_block",
        x,
        {
            "w_qkv": (w_qkv, (width, channels)),
            "w_proj": (w_proj, (channels, width // 3)),
            "b_qkv": (b_qkv, (width,)),
            "b_proj": (b_proj, (channels,)),
        },
    )
    return checks.increasing("attention_block", "heads", heads, num_heads, "which is num_heads")


def _first_heads(
    w_qkv: Tensor, b_qkv: Tensor | None, w_proj: Tensor, num_heads: int, count: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """The weights of the first heads alone."""
    if count == num_heads:
        return w_qkv, b_qkv, w_proj
    split = (3, num_heads, -1)
    bias = None if b_qkv is None else b_qkv.unflatten(0, split)[:, :count].flatten()
    width = w_proj.shape[1] // num_heads * count
    return w_qkv.unflatten(0, split)[:, :count].flatten(0, 2), bias, w_proj[:, :width]
