"""The definition of a linear layer and what stands around it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff


class Arguments(NamedTuple):
    """Where results go ``[M, N]``, rows ``[M, K]``, a weight ``[N, K]`` with its bias, the residual
    ``[M, N]``, the ``eps`` of the variance where rows are normalised, and whether GELU follows."""

    out: Tensor
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    residual: Tensor | None
    norm_eps: float | None
    gelu: bool


def gelu_tolerance(dtype: torch.dtype) -> float:
    """Error of GELU relative to ``|x|``.

    ``x Phi(x) = max(x, 0) - |x| Q(|x|)``: the fourth power of a polynomial is off Q by 1.7e-8 at
    most (relative to ``max(1, |x|)``), one of its roundings counts four times and the powers
    add 3 u, relative to ``Q <= 1/2``; the subtraction adds u. In sum 4 u. fp64 is PyTorch's, with
    as many roundings. The result is rounded to the dtype, where a subnormal number may be 0; for
    16 bits the eighth power of a shorter polynomial does, off Q by 2.7e-6, and its roundings, 8 u,
    are small beside.
    """
    approximation = 0.0 if dtype in (torch.float32, torch.float64) else 3e-6
    return 4 * roundoff(accumulation_dtype(dtype)) + approximation + roundoff(dtype)


def tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of a linear layer relative to ``1 + |out|``.

    ``length`` is the number of inputs, ``extent`` the largest
    ``|residual| + |bias| + sum_k |x_k W_k|``, of normalised ``x`` where it is normalised (the error
    of normalised values, :func:`layer_norm_tolerance`, enters as they do; callers add it). The
    random walk of the sum is sqrt(length) u of it with 4 standard deviations allowed, times the
    steepest slope of GELU, 1.13; GELU adds 4 u (:func:`gelu_tolerance`) and the other sums 4 u. In
    fp16 and bf16 normalised values, product and activation may each be rounded, and the result is;
    what GELU is off by is less than a rounding.
    """
    u = roundoff(accumulation_dtype(dtype))
    rounded = 0.0 if dtype in (torch.float32, torch.float64) else 3 * roundoff(dtype)
    return extent * (u * (8 + 4.52 * math.sqrt(length)) + rounded) + roundoff(dtype)


def traffic(call: Arguments) -> int:
    return sum(tensor.nbytes for tensor in call if isinstance(tensor, Tensor))


def flops(call: Arguments) -> int:
    return 2 * call.out.numel() * call.weight.shape[1]


def example(device: Device = "cpu") -> Arguments:
    out, x = torch.ones(2, 197, 192, device=device)
    return Arguments(out, x, torch.ones(192, 192, device=device), None, None, 1e-6, True)


OPERATORS = (
    Operator(
        name="linear",
        arguments=Arguments,
        returns="()",
        backends=(
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
