"""The definition of an MLP block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from ..layer_norm.definition import tolerance as layer_norm_tolerance
from ..linear.definition import gelu_tolerance


class Arguments(NamedTuple):
    """Rows ``[M, C]``, weights and biases of both layers, widths of the hidden one, what the
    variance gets added, and where results go, ``[K, M, C]``."""

    x: Tensor
    w1: Tensor
    b1: Tensor | None
    w2: Tensor
    b2: Tensor | None
    hidden: Sequence[int]
    eps: float
    out: Tensor


def tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of an MLP block relative to the size of its terms, ``|x| + |b2| + s``, with ``s`` the
    root of ``sum_h w2_h^2 (b1_h^2 + sum_c w1_hc^2 (1 + |norm(x)_c|)^2)``.

    ``length`` is the longer of channels and hidden width, ``extent`` that of
    :func:`layer_norm_tolerance`. Roundings are independent, so what ``length`` of them do to a sum
    is relative to the root of its squares, with 4 standard deviations allowed: those of the norm,
    of what GELU is given and gives, and of the residual and the result. GELU multiplies an error by
    1.13 at most. A sum carries a random walk of its own; tensor cores truncate, 2 u for 16
    products.
    """
    u, r = roundoff(accumulation_dtype(dtype)), roundoff(dtype)
    sums = u * (4 + 4 * math.sqrt(length) + length / 8)
    terms = 1.13 * (layer_norm_tolerance(dtype, length, extent) + r) + gelu_tolerance(dtype) + 2 * r
    return 4 * terms + 2.13 * sums


def traffic(call: Arguments) -> int:
    x, hidden = call.x, call.hidden
    weights = 2 * hidden[-1] * x.shape[1] * x.element_size()
    biases = sum(bias.nbytes for bias in (call.b1, call.b2) if bias is not None)
    return (1 + len(hidden)) * x.nbytes + weights + biases


def flops(call: Arguments) -> int:
    x, widest = call.x, call.hidden[-1]
    return 4 * x.numel() * widest + 26 * x.shape[0] * widest


def example(device: Device = "cpu") -> Arguments:
    x, w1, w2, out = (
        torch.ones(shape, dtype=torch.bfloat16, device=device)
        for shape in ((197, 192), (768, 192), (192, 768), (2, 197, 192))
    )
    return Arguments(x, w1, None, w2, None, [672, 768], 1e-5, out)


OPERATORS = (
    Operator(
        name="mlp_block",
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
