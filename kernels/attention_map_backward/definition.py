"""The definition of the gradient of attention maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..attention_map.definition import Arguments as MapArguments
from ..attention_map.definition import flops as map_flops
from ..attention_map.definition import tolerance as map_tolerance
from ..definition import Device, Operator
from ..dtypes import roundoff
from ..features.layout import empty_gradient


class Arguments(NamedTuple):
    """Features ``[B, H, W, C]``, their maps ``[B, N]`` and norms ``[B]``, the gradient of the maps,
    and height and width of a map."""

    x: Tensor
    map: Tensor
    norm: Tensor
    grad_map: Tensor
    size: Sequence[int]


def fake(call: Arguments) -> Tensor:
    return empty_gradient(call.x)


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of the input gradient relative to the largest gradient of its image.

    Twice the error of the map, which enters both factors of the projection ``g - a (g . a)``, and
    the final rounding to the dtype of the input.
    """
    return 4 * map_tolerance(dtype, length, extent) + 2 * roundoff(dtype)


def traffic(call: Arguments) -> int:
    return 2 * call.x.nbytes + call.map.nbytes + call.norm.nbytes + call.grad_map.nbytes


def flops(call: Arguments) -> int:
    return 2 * map_flops(MapArguments(call.x, call.size))


def example(device: Device = "cpu") -> Arguments:
    x = torch.ones(2, 14, 14, 192, device=device)
    values = torch.full((2, 196), 1 / 14, device=device)
    return Arguments(x, values, torch.full((2,), 14.0, device=device), values, [14, 14])


OPERATORS = (
    Operator(
        name="attention_map_backward",
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
    ),
)
