"""The definition of distances of features that differ in width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ..attention_map_distance.definition import Arguments as OneArguments
from ..attention_map_distance.definition import example as one_example
from ..attention_map_distance.definition import flops as one_flops
from ..attention_map_distance.definition import tolerance
from ..definition import Device, Operator
from ..dtypes import accumulation_dtype


class Arguments(NamedTuple):
    """Features ``[B, H, W, C_k]``, maps of a teacher ``[T, N]``, and height and width of a map."""

    xs: Sequence[Tensor]
    teacher: Tensor
    size: Sequence[int]


def fake(call: Arguments) -> Tensor:
    x = call.xs[0]
    return x.new_empty((len(call.xs), x.shape[0]), dtype=accumulation_dtype(x.dtype))


def traffic(call: Arguments) -> int:
    xs = call.xs
    results = len(xs) * xs[0].shape[0] * accumulation_dtype(xs[0].dtype).itemsize
    return sum(x.nbytes for x in xs) + call.teacher.nbytes + results


def flops(call: Arguments) -> int:
    return sum(one_flops(OneArguments(x, call.teacher, call.size)) for x in call.xs)


def example(device: Device = "cpu") -> Arguments:
    x, teacher, size = one_example(device)
    return Arguments([x, x[..., :96]], teacher, size)


OPERATORS = (
    Operator(
        name="attention_map_distances",
        arguments=Arguments,
        returns="Tensor",
        backends=(
            "triton",
            "cuda",
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
