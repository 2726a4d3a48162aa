"""The definition of the distance of attention maps to a teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..attention_map.definition import Arguments as MapArguments
from ..attention_map.definition import fake as map_fake
from ..attention_map.definition import flops as map_flops
from ..attention_map.definition import tolerance as map_tolerance
from ..attention_map.definition import traffic as map_traffic
from ..attention_map_backward import gradient, refuse_second_derivative
from ..definition import Derivative, Device, Operator


class Arguments(NamedTuple):
    """Features ``[B, H, W, C]``, maps of a teacher ``[T, N]``, and height and width of the map."""

    x: Tensor
    teacher: Tensor
    size: Sequence[int]


def fake(call: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    values, norm = map_fake(MapArguments(call.x, call.size))
    return torch.empty_like(norm), values, norm


def tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map distance relative to 1 / positions.

    With d = ||t - a||^2 / positions and ||t - a|| <= 2, an error ||e|| of the map moves d by at
    most (4 ||e|| + ||e||^2) / positions; ||e|| <= map_tolerance since the map has unit norm.
    """
    return 5 * map_tolerance(dtype, length, extent)


def traffic(call: Arguments) -> int:
    return map_traffic(MapArguments(call.x, call.size)) + call.teacher.nbytes


def flops(call: Arguments) -> int:
    x, _, size = call
    return map_flops(MapArguments(x, size)) + 3 * x.shape[0] * size[0] * size[1]


def example(device: Device = "cpu") -> Arguments:
    x = torch.ones(2, 14, 14, 192, device=device)
    return Arguments(x, torch.full((2, 196), 1 / 14, device=device), [14, 14])


def save(
    ctx: Any, call: Arguments, backend: str | None, output: tuple[Tensor, Tensor, Tensor]
) -> None:
    _, values, norm = output
    ctx.mark_non_differentiable(values, norm)
    ctx.save_for_backward(call.x, call.teacher, values, norm)
    ctx.size, ctx.backend = call.size, backend


def backward(
    ctx: Any, grad_distance: Tensor, grad_map: Tensor, grad_norm: Tensor
) -> tuple[Tensor | None, Tensor | None, None]:
    refuse_second_derivative()
    x, teacher, values, norm = ctx.saved_tensors
    rows, positions = teacher.shape
    repeats = x.shape[0] // max(rows, 1)
    scale = grad_distance.view(repeats, rows, 1) * (2 / positions)
    grad_teacher = scale * (teacher - values.view(repeats, rows, positions))
    grad_x = None
    if ctx.needs_input_grad[0]:
        of_map = -grad_teacher.view_as(values)
        grad_x = gradient(x, values, norm, of_map, ctx.size, ctx.backend)
    return grad_x, grad_teacher.sum(dim=0) if ctx.needs_input_grad[1] else None, None


OPERATORS = (
    Operator(
        name="attention_map_distance",
        arguments=Arguments,
        returns="(Tensor distance, Tensor map, Tensor norm)",
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
