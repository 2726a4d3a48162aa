"""The definition of attention maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..attention_map_backward import gradient, refuse_second_derivative
from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype, roundoff


class Arguments(NamedTuple):
    """Features ``[B, H, W, C]``, and height and width of the map."""

    x: Tensor
    size: Sequence[int]


def fake(call: Arguments) -> tuple[Tensor, Tensor]:
    x, size = call
    dtype = accumulation_dtype(x.dtype)
    images = x.shape[0]
    return x.new_empty((images, size[0] * size[1]), dtype=dtype), x.new_empty(images, dtype=dtype)


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map relative to the largest value of its image.

    A sum of ``length`` squares carries a random-walk error of about sqrt(length) u, the division by
    the norm doubles it, and 4 standard deviations are allowed; the rest of the arithmetic costs at
    most 8 u. A bilinear tap lies at a coordinate up to ``extent``, known to ``extent`` u, and
    enters squared twice (value and norm): 8 extent u covers both axes.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (8 + 4 * math.sqrt(length) + 8 * extent)


def traffic(call: Arguments) -> int:
    x, size = call
    return x.nbytes + x.shape[0] * (size[0] * size[1] + 1) * accumulation_dtype(x.dtype).itemsize


def flops(call: Arguments) -> int:
    x, size = call
    images, height, width, channels = x.shape
    per_value = 2 if (height, width) == tuple(size) else 9
    return images * size[0] * size[1] * channels * per_value


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(2, 14, 14, 192, device=device), [14, 14])


def save(ctx: Any, call: Arguments, backend: str | None, output: tuple[Tensor, Tensor]) -> None:
    values, norm = output
    ctx.mark_non_differentiable(norm)
    ctx.save_for_backward(call.x, values, norm)
    ctx.size, ctx.backend = call.size, backend


def backward(ctx: Any, grad_map: Tensor, grad_norm: Tensor) -> tuple[Tensor, None]:
    refuse_second_derivative()
    x, values, norm = ctx.saved_tensors
    return gradient(x, values, norm, grad_map, ctx.size, ctx.backend), None


OPERATORS = (
    Operator(
        name="attention_map",
        arguments=Arguments,
        returns="(Tensor map, Tensor norm)",
        backends=(
            "cuda",
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
