"""The definition of norms of leading blocks of a matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..definition import Device, Operator
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
        prepare=prepare,
    ),
)
