"""The definition of the attention half of a block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from ..layer_norm.definition import tolerance as layer_norm_tolerance
from ..packed_attention.definition import tolerance as packed_attention_tolerance


class Arguments(NamedTuple):
    """Tokens ``[N, T, C]``, weights and biases of both projections, numbers of first heads, what is
    added to the variance, and where results go, ``[K, N, T, C]``."""

    x: Tensor
    w_qkv: Tensor
    b_qkv: Tensor | None
    w_proj: Tensor
    b_proj: Tensor | None
    heads: Sequence[int]
    eps: float
    out: Tensor


def tolerance(
    dtype: torch.dtype, length: int, extent: float = 0, logits: float = 0, slope: float = 0
) -> float:
    """Error of the attention half of a block relative to the size of its terms,
    ``|x| + |b_proj| + s``, with ``s`` the root of ``sum_j w_proj_j^2 v_j^2`` over the channels j of
    the merged heads, and ``v_j`` the largest size of a value of the head of j.

    The size of a query, key or value is its magnitude or, where that is larger, the root of
    ``b^2 + sum_c w_c^2 (1 + |norm(x)_c|)^2``. ``length`` is the longest of channels, tokens and
    merged heads, ``extent`` that of :func:`layer_norm_tolerance`, ``logits`` the largest
    ``sum_i |q_i k_i| / sqrt(D)`` and ``slope`` the largest root of ``2 sum_i q_i^2 k_i^2 / D``,
    both of sizes.

    Roundings are independent, so a sum carries the root of their squares, with 4 standard
    deviations allowed. Queries, keys and values err by what the norm does
    (:func:`layer_norm_tolerance`), by the random walk of a sum, and by two roundings to the dtype,
    of the norm and of themselves, whose 4 standard deviations are less than 4 roundoffs; all of it
    relative to their sizes. That moves a logit by ``slope`` times as much, a weight by twice that
    (numerator and sum), and a value by as much again; :func:`packed_attention_tolerance` comes on
    top. The second product sums these errors, with a walk of its own. Residual and result are
    rounded, relative to all terms, of which the product may be 4 standard deviations large.
    """
    u, r = roundoff(accumulation_dtype(dtype)), roundoff(dtype)
    walk = u * (4 + 4 * math.sqrt(length) + length / 8)
    norm = layer_norm_tolerance(accumulation_dtype(dtype), length, extent)
    entering = 4 * (norm + r) + walk
    mixed = (1 + 2 * slope) * entering + packed_attention_tolerance(dtype, length, logits)
    return mixed + walk + 4 * r


def traffic(call: Arguments) -> int:
    biases = sum(bias.nbytes for bias in (call.b_qkv, call.b_proj) if bias is not None)
    tokens = (1 + len(call.heads)) * call.x.nbytes
    return tokens + call.w_qkv.nbytes + call.w_proj.nbytes + biases


def flops(call: Arguments) -> int:
    images, tokens, channels = call.x.shape
    return images * tokens * call.w_proj.shape[1] * (8 * channels + 4 * tokens)


def example(device: Device = "cpu") -> Arguments:
    x, w_qkv, w_proj, out = (
        torch.ones(shape, dtype=torch.bfloat16, device=device)
        for shape in ((2, 197, 192), (3 * 256, 192), (192, 256), (2, 2, 197, 192))
    )
    return Arguments(x, w_qkv, None, w_proj, None, [3, 4], 1e-5, out)


OPERATORS = (
    Operator(
        name="attention_block",
        arguments=Arguments,
        returns="()",
        backends=(
            "triton",
            "native",
            "reference",
        ),
        tolerance=tolerance,
        traffic=traffic,
        flops=flops,
        example=example,
        writes=("out",),
    ),
)
