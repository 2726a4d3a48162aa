"""Public statistics of self-attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from .. import transforms
from ..calls import execute
from ..dtypes import accumulation_dtype
from . import reference
from .arguments import attention_arguments, key_map
from .definition import Arguments

__all__ = ["SelfAttentionStats", "self_attention_stats"]


class SelfAttentionStats(NamedTuple):
    """Statistics of attention weights ``P``; None where one was not asked for.

    Attributes:
        class_row: ``[B, H, N]``, ``P_0j``: where the first token, the class token of a ViT, looks.
        column_sums: ``[B, H, N]``, ``sum_i P_ij``: how much attention a token receives.
        row_entropy: ``[B, H, N]``, ``-sum_j P_ij log P_ij`` in nats, from 0 (one token) to log N
            (uniform).
        head_mean: ``[B, N, N]``, mean of P over heads.
        teacher_products: ``[B, H, N]``, ``sum_j P_ij t_j``.
    """

    class_row: Tensor | None = None
    column_sums: Tensor | None = None
    row_entropy: Tensor | None = None
    head_mean: Tensor | None = None
    teacher_products: Tensor | None = None


def self_attention_stats(
    q: Tensor,
    k: Tensor,
    *,
    scale: float | None = None,
    teacher: Tensor | None = None,
    statistics: Sequence[str] = ("class_row", "column_sums", "row_entropy"),
    backend: str | None = None,
) -> SelfAttentionStats:
    """What ``P = softmax(scale q k^T)`` says per head, without ever holding ``[B, H, N, N]``.

    Args:
        q: Queries ``[B, H, N, D]``; fp32, fp16, bf16 or fp64, any strides, such as a part of a
            fused projection.
        k: Keys, of the shape and dtype of ``q``.
        scale: Factor of the scores; ``D ** -0.5`` by default.
        teacher: Map over the keys ``t``, ``[B, N]`` or broadcast to it, such as an attention map of
            a teacher with a 0 in front for the class token. With it come ``teacher_products``;
            the cosine of any row with the teacher follows from it.
        statistics: Of ``class_row``, ``column_sums``, ``row_entropy`` and ``head_mean``.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        The statistics of :class:`SelfAttentionStats`, fp64 for fp64 ``q``, else fp32; the mean over
        heads of those per head is their ``.mean(1)``.

    Differentiable any number of times in ``q``, ``k`` and ``teacher``. The gradient forms the
    weights again in plain PyTorch, a few heads at a time: beyond the gradients it holds a handful
    of tensors of 2^19 pairs of tokens, or of the pairs of one head where these are more. A gradient
    that shall be differentiable itself (``create_graph=True``) holds those of all heads.

    Scores and sums are fp32. Memory beyond the results is ``[B, H, N]`` on a GPU, the keys of one
    head and the weights of 24 queries per thread in the native backend, and the weights of a few
    images in the reference. The native backend returns the same bits whatever the number of
    threads, the triton backend on every run. A NaN in ``q`` reaches its row and the column sums of
    its head, one in ``k`` all of its head. Error bound:
    :func:`tvtfast.kernels.self_attention_stats.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or ``k`` has not that of ``q``.
        ValueError: Shapes or devices do not fit together, or a statistic is unknown or repeated.
        BackendError: The backend asked for by name cannot serve the call.

    Source: class token attention as shown by Caron et al., "Emerging Properties in Self-Supervised
    Vision Transformers", ICCV 2021; entropy of rows as in Zhai et al., "Stabilizing Transformer
    Training by Preventing Attention Entropy Collapse", ICML 2023.
    """
    names = attention_arguments("self_attention_stats", q, k, statistics)
    rows = key_map("self_attention_stats", teacher, q)
    if rows is not None:
        rows = rows.to(accumulation_dtype(q.dtype))
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    call = Arguments(q, k, rows, factor, names)
    if transforms.takes_reference("self_attention_stats", backend):
        results = reference.run(call)
    else:
        results = execute("self_attention_stats", call, backend, q, k, rows)
    if rows is not None:
        names = [*names, "teacher_products"]
    return SelfAttentionStats(**dict(zip(names, results, strict=True)))
