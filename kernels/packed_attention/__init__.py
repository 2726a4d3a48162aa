"""Public attention operator."""

from __future__ import annotations

import math

from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["packed_attention"]


def packed_attention(
    qkv: Tensor, num_heads: int, *, scale: float | None = None, backend: str | None = None
) -> Tensor:
    """Multi-head attention over the output of a fused qkv projection, heads merged again.

    ``out_h = softmax(scale q_h k_h^T) v_h`` for each head h.

    Args:
        qkv: ``[*, T, 3 H D]``, its last dimension laid out as ``(3, H, D)``: queries, keys and
            values of all heads; fp32, fp16, bf16 or fp64, any strides (no copy where a row is
            contiguous and the rows of an image lie at one stride).
        num_heads: Number H of heads.
        scale: Factor of the products ``q k^T``; ``D ** -0.5`` by default.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[*, T, H D]`` of the dtype of ``qkv``. A NaN in a key makes the head of its image NaN, one
        in a value its channel, one in a query its output (zeros from PyTorch's kernel for the CPU).

    Meant for forward passes on the CPU, of short sequences. In fp64, on other devices and where
    gradients are recorded it is :func:`torch.nn.functional.scaled_dot_product_attention`, which is
    differentiable once; inside ``torch.func`` transforms it is the formula, differentiable any
    number of times. Autocast leaves it alone.

    Sums are fp32 (fp64 for fp64). In bf16 the probabilities are rounded to bf16 before they weigh
    the values; on CPUs with AVX-512 BF16 they are divided by the sum of the rounded ones, so that
    equal values stay what they are. The native backend computes a query alike whatever the other
    queries and the number of threads. Error bound:
    :func:`tvtfast.kernels.packed_attention.definition.tolerance`.

    Raises:
        TypeError: ``qkv`` is not a floating-point tensor of a listed dtype.
        ValueError: The last dimension does not split into 3 parts of ``num_heads`` heads.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Vaswani et al., Attention is all you need, NeurIPS 2017, eq. 1; one pass over the scores
    of a tile of queries as in Dao et al., FlashAttention, NeurIPS 2022.
    """
    checks.check_dtype("packed_attention", "qkv", qkv)
    if qkv.dim() < 2:
        raise ValueError(
            f"packed_attention: qkv has shape {tuple(qkv.shape)}; pass [*, tokens, 3 * heads * dim]"
        )
    *leading, tokens, width = qkv.shape
    if num_heads < 1 or width == 0 or width % (3 * num_heads):
        raise ValueError(
            f"packed_attention: the last dimension of qkv, {width}, does not split into queries,"
            f" keys and values of num_heads={num_heads} heads; it must be a positive multiple of"
            f" {3 * max(num_heads, 1)}"
        )
    factor = (width // (3 * num_heads)) ** -0.5 if scale is None else scale
    view = qkv if qkv.dim() == 3 else qkv.reshape(math.prod(leading), tokens, width)
    if transforms.takes_reference("packed_attention", backend, qkv):
        plain = reference.formula if transforms.active() else reference.forward
        mixed = plain(view, num_heads, factor)
    else:
        call = Arguments(view, num_heads, factor)
        mixed = execute("packed_attention", call, backend, qkv)
    return mixed.reshape(*leading, tokens, width // 3)
