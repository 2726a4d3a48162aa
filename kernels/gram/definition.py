"""The definition of inner products of rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype, roundoff
from . import reference


class Arguments(NamedTuple):
    """Rows ``[K, n, M]``, others ``[T, m, M]`` or None, and whether to take rows relative to the
    first one."""

    x: Tensor
    y: Tensor | None
    relative: bool


def fake(call: Arguments) -> Tensor:
    x, y, _ = call
    matrices, rows, _ = x.shape
    columns = rows if y is None else y.shape[1]
    return x.new_empty((matrices, rows, columns), dtype=accumulation_dtype(x.dtype))


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an inner product relative to the product of both lengths.

    A random walk of ``length`` roundings, of which 4 standard deviations are allowed. Tensor cores
    truncate: 16 products at a time cost 2 u, without exception and in one direction, so they sum at
    most 1024 products, 128 u and within the bound, before the rest is rounded. Relative rows carry
    2 u from their subtraction.
    """
    return roundoff(accumulation_dtype(dtype)) * (8 + 4 * math.sqrt(length))


def traffic(call: Arguments) -> int:
    x, y, _ = call
    matrices, rows, _ = x.shape
    columns = rows if y is None else y.shape[1]
    written = matrices * rows * columns * accumulation_dtype(x.dtype).itemsize
    return x.nbytes + (0 if y is None else y.nbytes) + written


def flops(call: Arguments) -> int:
    x, y, _ = call
    matrices, rows, length = x.shape
    pairs = rows * (rows + 1) // 2 if y is None else rows * y.shape[1]
    return 2 * matrices * pairs * length


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(1, 32, 3072, device=device), None, False)


def save(ctx: Any, call: Arguments, backend: str | None, output: Tensor) -> None:
    ctx.relative = call.relative
    ctx.save_for_backward(call.x, call.y)


def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    x, y = ctx.saved_tensors
    if y is None:
        return reference.backward(x, ctx.relative, grad), None, None
    grad_x = reference.backward_x(y, grad) if ctx.needs_input_grad[0] else None
    grad_y = reference.backward_y(x, y, grad) if ctx.needs_input_grad[1] else None
    return grad_x, grad_y, None


OPERATORS = (
    Operator(
        name="gram",
        arguments=Arguments,
        returns="Tensor",
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
