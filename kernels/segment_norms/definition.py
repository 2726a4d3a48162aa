"""The definition of norms of many tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype, roundoff


class Arguments(NamedTuple):
    """The tensors: a list, or for backends a :class:`~.table.SegmentTable`."""

    tensors: Sequence[Tensor]


def fake(call: Arguments) -> Tensor:
    tensors = call.tensors
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    return tensors[0].new_empty(len(tensors), dtype=torch.float64 if wide else torch.float32)


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Relative error of a norm: fp64 sums of ``length`` squares, one rounding to the result."""
    return 1.01 * roundoff(accumulation_dtype(dtype)) + (length + 2) * roundoff(torch.float64)


def traffic(call: Arguments) -> int:
    return sum(tensor.nbytes for tensor in call.tensors) + 4 * len(call.tensors)


def flops(call: Arguments) -> int:
    return 2 * sum(tensor.numel() for tensor in call.tensors)


def example(device: Device = "cpu") -> Arguments:
    return Arguments([torch.ones(192, 192, device=device), torch.ones(192, device=device)])


def save(ctx: Any, call: Arguments, backend: str | None, output: Tensor) -> None:
    ctx.save_for_backward(output, *call.tensors)


def backward(ctx: Any, grad: Tensor) -> tuple[list[Tensor | None]]:
    """``grad_k x_k / norms[k]``, and 0 where the norm is 0."""
    norms, *tensors = ctx.saved_tensors
    zero = norms == 0
    units = norms.masked_fill(zero, 1).unbind()
    shares = grad.masked_fill(zero, 0).unbind()
    return (
        [
            (x.to(accumulation_dtype(x.dtype)) / unit * share).to(x.dtype) if needed else None
            for x, unit, share, needed in zip(
                tensors, units, shares, *ctx.needs_input_grad[:1], strict=True
            )
        ],
    )


OPERATORS = (
    Operator(
        name="segment_norms",
        arguments=Arguments,
        returns="Tensor",
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
