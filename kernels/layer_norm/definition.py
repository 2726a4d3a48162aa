"""The definition of layer normalisation."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
from ..dtypes import accumulation_dtype, roundoff


class Arguments(NamedTuple):
    """Rows ``[N, C]``, and what is added to the variance."""

    x: Tensor
    eps: float


def fake(call: Arguments) -> Tensor:
    return call.x.new_empty(call.x.shape)


def tolerance(dtype: torch.dtype, length: int, extent: float = 0) -> float:
    """Error of layer normalisation relative to ``1 + |out|``.

    ``length`` is the number of channels, ``extent`` the largest ``|x| / sqrt(var + eps)`` of a
    token. The mean carries the random walk of a sum, sqrt(length) u of the largest ``|x|`` with 4
    standard deviations allowed, and with the subtraction 2 u more; that is the error of a
    difference, ``extent`` times it that of a result. The scale carries half the error of a sum of
    squares and twice that of a difference, and 4 u of division and root, relative to the result,
    which is rounded to the dtype.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (2 * extent + 1) * (4 + 4 * math.sqrt(length)) + roundoff(dtype)


def traffic(call: Arguments) -> int:
    return 2 * call.x.nbytes


def flops(call: Arguments) -> int:
    return 6 * call.x.numel()


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(197, 192, device=device), 1e-5)


OPERATORS = (
    Operator(
        name="layer_norm",
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
