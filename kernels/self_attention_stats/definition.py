"""The definition of statistics of attention weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from ..self_attention_stats_backward import gradients

STATISTICS = ("class_row", "column_sums", "row_entropy", "head_mean")
"""What can be asked for; teacher products come with a teacher."""


class Arguments(NamedTuple):
    """Queries and keys ``[B, H, N, D]``, a map over the keys ``[B, N]``, the factor of scores, and
    names of :data:`STATISTICS`."""

    q: Tensor
    k: Tensor
    teacher: Tensor | None
    scale: float
    statistics: Sequence[str]


def fake(call: Arguments) -> list[Tensor]:
    q = call.q
    images, heads, tokens, _ = q.shape
    dtype = accumulation_dtype(q.dtype)
    shapes = [
        (images, tokens, tokens) if name == "head_mean" else (images, heads, tokens)
        for name in call.statistics
    ]
    if call.teacher is not None:
        shapes.append((images, heads, tokens))
    return [q.new_empty(shape, dtype=dtype) for shape in shapes]


def tolerance(dtype: torch.dtype, length: int, extent: float = 0, tokens: int = 1) -> float:
    """Error of statistics of attention weights over ``tokens`` keys and ``length`` channels.

    Relative to the weight or the sum of weights; for products to the sum of ``P |t|``; for
    entropies absolute, divided by ``1 + log(tokens)``. ``extent`` is the largest
    ``scale ||q|| ||k||``, which bounds every score. A score errs by at most 2 ``length`` u
    ``extent`` (tensor cores may truncate where they add), 12 u ``extent`` more where fp32 factors
    are split in two of 11 bits, and 2 u ``extent`` for scale and base; a weight has twice that
    error (numerator and sum), as much again from a log-sum-exp that is stored, and that of the
    exponential and the division, 16 u. A sum over tokens adds a random walk of sqrt(tokens) u, of
    which 4 standard deviations are allowed, once in the weight and once in the statistic. A weight
    below the smallest normal number may be 0.
    """
    u = roundoff(accumulation_dtype(dtype))
    weight = u * (16 + 4 * (length + 8) * extent + 4 * math.sqrt(tokens))
    return weight + 4 * u * math.sqrt(tokens)


def traffic(call: Arguments) -> int:
    q, k, teacher, _, statistics = call
    images, heads, tokens, _ = q.shape
    rows = heads * (len(statistics) - ("head_mean" in statistics) + (teacher is not None))
    values = images * tokens * (rows + (tokens if "head_mean" in statistics else 0))
    read = q.nbytes + k.nbytes + (0 if teacher is None else teacher.nbytes)
    return read + values * accumulation_dtype(q.dtype).itemsize


def flops(call: Arguments) -> int:
    images, heads, tokens, channels = call.q.shape
    per_weight = 2 * channels + 3 + 2 * (len(call.statistics) + (call.teacher is not None))
    return images * heads * tokens * tokens * per_weight


def example(device: Device = "cpu") -> Arguments:
    q, k = torch.ones(2, 2, 3, 197, 64, device=device)
    return Arguments(q, k, torch.ones(2, 197, device=device), 0.125, list(STATISTICS))


def save(ctx: Any, call: Arguments, backend: str | None, output: list[Tensor]) -> None:
    ctx.save_for_backward(call.q, call.k, call.teacher)
    ctx.scale, ctx.statistics = call.scale, call.statistics


def backward(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    q, k, teacher = ctx.saved_tensors
    found = gradients(q, k, teacher, ctx.scale, ctx.statistics, grads)
    # PyTorch wants an entry per argument, and takes an empty list for one of tensors.
    return *found, *([None] if teacher is None else []), None, None if ctx.statistics else []


OPERATORS = (
    Operator(
        name="self_attention_stats",
        arguments=Arguments,
        returns="Tensor[]",
        backends=(
            "triton",
            "native",
            "reference",
        ),
        tolerance=tolerance,
        traffic=traffic,
        flops=flops,
        example=example,
        fake=fake,
        derivative=Derivative(save, backward),
    ),
)
