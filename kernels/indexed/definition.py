"""The definition of both fills with index-keyed random numbers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator, exact


class NormalArguments(NamedTuple):
    """What is filled, a Philox key, and mean and standard deviation."""

    tensor: Tensor
    key: int
    mean: float
    std: float


class UniformArguments(NamedTuple):
    """What is filled, a Philox key, and the limits."""

    tensor: Tensor
    key: int
    low: float
    high: float


Arguments = NormalArguments | UniformArguments


def traffic(call: Arguments) -> int:
    return call.tensor.nbytes


def flops(call: Arguments) -> int:
    return 2 * call.tensor.numel()


def normal_example(device: Device = "cpu") -> NormalArguments:
    return NormalArguments(torch.empty(192, 192, device=device), 0, 0.0, 1.0)


def uniform_example(device: Device = "cpu") -> UniformArguments:
    return UniformArguments(torch.empty(192, 192, device=device), 0, 0.0, 1.0)


_BACKENDS = ("cuda", "triton", "native", "reference")

OPERATORS = (
    Operator(
        name="indexed_normal_",
        arguments=NormalArguments,
        returns="()",
        backends=_BACKENDS,
        tolerance=exact,
        traffic=traffic,
        flops=flops,
        example=normal_example,
        writes=("tensor",),
        run="normal_",
    ),
    Operator(
        name="indexed_uniform_",
        arguments=UniformArguments,
        returns="()",
        backends=_BACKENDS,
        tolerance=exact,
        traffic=traffic,
        flops=flops,
        example=uniform_example,
        writes=("tensor",),
        run="uniform_",
    ),
)
