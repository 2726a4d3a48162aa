"""The definition of norms of leading blocks of a matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..definition import Derivative, Device, Operator
from ..dtypes import accumulation_dtype
from ..segment_norms.definition import tolerance
from .table import SliceTable


class Arguments(NamedTuple):
    """A matrix, and rows and columns of every slice, ``[n, 2]``."""

    weight: Tensor
    sizes: Tensor


class Prepared(NamedTuple):
    """What backends take: the matrix, and a table of sizes that fit it."""

    weight: Tensor
    table: SliceTable


def prepare(call: Arguments) -> Prepared:
    """The call with its sizes looked at."""
    table = SliceTable(call.sizes.to(torch.int64))
    table.check(call.weight)
    return Prepared(call.weight, table)


def fake(call: Arguments) -> Tensor:
    weight, sizes = call
    return weight.new_empty(sizes.shape[0], dtype=accumulation_dtype(weight.dtype))


def traffic(call: Arguments) -> int:
    return call.weight.nbytes + call.sizes.nbytes + 4 * call.sizes.shape[0]


def flops(call: Arguments) -> int:
    return 2 * call.weight.numel()


def example(device: Device = "cpu") -> Arguments:
    return Arguments(torch.ones(192, 192, device=device), torch.tensor([[192, 192], [96, 144]]))


def save(ctx: Any, call: Arguments, backend: str | None, output: Tensor) -> None:
    ctx.save_for_backward(*call, output)


def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    """``W_rc sum_k [r < o_k, c < i_k] grad_k / norms[k]``, in fp64.

    The sum is what the summed-area table of the norms is transposed: sums of ``grad_k / norms[k]``
    at ``(o_k, i_k)``, from the far ends of both axes. Entries in no slice have gradient 0 whatever
    they are.
    """
    weight, sizes, norms = ctx.saved_tensors
    rows, columns = weight.shape
    zero = norms == 0
    shares = grad.masked_fill(zero, 0).double() / norms.masked_fill(zero, 1).double()
    corners = sizes.to(weight.device, torch.int64).unbind(1)
    table = shares.new_zeros(rows + 1, columns + 1).index_put(corners, shares, accumulate=True)
    factors = table[1:, 1:].flip(0, 1).cumsum(0).cumsum(1).flip(0, 1)
    grad_weight = torch.where(factors == 0, 0, weight.double() * factors)
    return grad_weight.to(weight.dtype), None


OPERATORS = (
    Operator(
        name="slice_norms",
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
        prepare=prepare,
    ),
)
