"""The definition of attention over a fused projection."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff


class Arguments(NamedTuple):
    """Packed queries, keys and values ``[B, T, 3 H D]``, the number of heads, and the factor of
    scores."""

    qkv: Tensor
    num_heads: int
    scale: float


def fake(call: Arguments) -> Tensor:
    qkv = call.qkv
    return qkv.new_empty(qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3)


def tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of attention relative to the largest value of its head.

    ``length`` is the longer of tokens and head width, ``extent`` the largest
    ``scale sum_d |q_d k_d|``. A sum of ``length`` products carries a random-walk error of
    sqrt(length) u, with 4 standard deviations allowed, and 4 u more for the factor, the exponent
    and the exponential; in a logit it is relative to ``extent``, and enters numerator and
    denominator. The products with the values and the sum of probabilities carry the same error,
    relative to the largest value. In fp16 and bf16 a probability may be rounded before it weighs a
    value, and before it enters the sum, and the result is rounded: 3 roundoffs of the dtype.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (2 * extent + 2) * (4 + 4 * math.sqrt(length)) + 3 * roundoff(dtype)


def traffic(call: Arguments) -> int:
    return call.qkv.nbytes + call.qkv.nbytes // 3


def flops(call: Arguments) -> int:
    return 4 * call.qkv.shape[1] * call.qkv.numel() // 3


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(2, 197, 3 * 192, device=device), 3, 0.125)


OPERATORS = (
    Operator(
        name="packed_attention",
        arguments=Arguments,
        returns="Tensor",
        backends=(
            "native",
            "reference",
        ),
        tolerance=tolerance,
        traffic=traffic,
        flops=flops,
        example=example,
        fake=fake,
    ),
)
