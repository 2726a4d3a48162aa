"""The definition of the distance of all angles between samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from . import reference


class Arguments(NamedTuple):
    """Gram matrices ``[K, B, B]`` of a student, and ``[T, B, B]`` of a teacher."""

    student: Tensor
    teacher: Tensor


def fake(call: Arguments) -> Tensor:
    return call.student.new_empty(call.student.shape[0])


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an angle distance relative to the spread of the samples, the largest entry of a Gram
    matrix over the smallest squared distance of samples that do not coincide.

    A sum of four entries is off by 9 u of the largest, a squared distance by 6, so an angle is off
    by 21 u spread; two angles differ by at most 2, and the square of their difference moves by
    2 * 2 * 42 u spread. The mean adds what a random walk of ``length`` samples does.
    """
    return roundoff(accumulation_dtype(dtype)) * (176 + 4 * math.sqrt(length))


def traffic(call: Arguments) -> int:
    student, teacher = call
    return student.nbytes + teacher.nbytes + student.shape[0] * student.dtype.itemsize


def flops(call: Arguments) -> int:
    matrices, samples, _ = call.student.shape
    return 13 * matrices * samples * samples * (samples + 1) // 2


def example(device: Device = "cpu") -> Arguments:
    student = teacher = torch.eye(32, device=device).unsqueeze(0)
    return Arguments(student, teacher)


def save(ctx: Any, call: Arguments, backend: str | None, output: Tensor) -> None:
    ctx.save_for_backward(*call)


def backward(ctx: Any, grad: Tensor) -> Any:
    pull_back = torch.func.vjp(reference.forward, *ctx.saved_tensors)[1]
    return pull_back(grad)


OPERATORS = (
    Operator(
        name="angle_distance",
        arguments=Arguments,
        returns="Tensor",
        backends=(
            "triton",
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
