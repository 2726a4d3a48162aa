"""Validation of public arguments, and their normal form.

Feature tensors of either layout become views ``[B, H, W, C]``: the layout lives in the strides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .spec import SUPPORTED_DTYPES


def check_dtype(function: str, name: str, tensor: Tensor) -> None:
    """Raise ``TypeError`` unless ``tensor`` is a floating-point tensor the operators know."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{function}: {name} is a {type(tensor).__name__}; pass a torch.Tensor")
    if tensor.dtype not in SUPPORTED_DTYPES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in SUPPORTED_DTYPES)
        raise TypeError(
            f"{function}: {name} has dtype {str(tensor.dtype).removeprefix('torch.')}"
            f" (allowed: {allowed}); convert it with .to()"
        )


def feature_view(
    function: str, x: Tensor, prefix_tokens: int, grid: Sequence[int] | None
) -> tuple[Tensor, tuple[int, ...]]:
    """View tokens or features as ``[B, H, W, C]``; also their leading shape.

    Leading dimensions are flattened without a copy where their strides allow it.
    """
    check_dtype(function, "x", x)
    if grid is None:
        if prefix_tokens != 0:
            raise ValueError(
                f"{function}: prefix_tokens={prefix_tokens} without grid; tokens [*, P + N, C] need"
                " grid=(height, width), features [*, C, H, W] have no prefix tokens"
            )
        if x.dim() < 3:
            raise ValueError(
                f"{function}: x has shape {tuple(x.shape)}; features are [*, C, H, W],"
                " tokens [*, P + N, C] with grid=(height, width)"
            )
        view = x.reshape(-1, *x.shape[-3:]) if x.dim() != 4 else x
        view, leading = view.permute(0, 2, 3, 1), x.shape[:-3]
    else:
        height, width = _pair(function, "grid", grid)
        if x.dim() < 2:
            raise ValueError(
                f"{function}: x has shape {tuple(x.shape)}; tokens are [*, P + N, C] with"
                f" N = {height * width} for grid={(height, width)}"
            )
        if prefix_tokens < 0 or x.shape[-2] != prefix_tokens + height * width:
            raise ValueError(
                f"{function}: x has {x.shape[-2]} tokens; prefix_tokens={prefix_tokens} and"
                f" grid={(height, width)} need {prefix_tokens} + {height * width}"
            )
        view = x.reshape(-1, *x.shape[-2:]) if x.dim() != 3 else x
        view = view[:, prefix_tokens:] if prefix_tokens else view
        view, leading = view.view(view.shape[0], height, width, view.shape[2]), x.shape[:-2]
    if 0 in view.shape[1:]:
        raise ValueError(
            f"{function}: x has shape {tuple(x.shape)}; it needs at least one channel and one"
            " position"
        )
    return view, tuple(leading)


def target_size(function: str, view: Tensor, size: Sequence[int] | None) -> list[int]:
    """Size of the map: ``size``, or the grid of the features."""
    if size is None:
        return [view.shape[1], view.shape[2]]
    return list(_pair(function, "size", size))


def teacher_rows(
    function: str, teacher: Tensor, view: Tensor, leading: tuple[int, ...], size: list[int]
) -> Tensor:
    """Teacher map as rows ``[T, N]``; image ``b`` of the flattened ``x`` meets row ``b % T``.

    A teacher that is the same for leading dimensions of ``x`` is not copied; one that broadcasts
    over inner ones is.
    """
    check_dtype(function, "teacher_map", teacher)
    if teacher.device != view.device:
        raise ValueError(
            f"{function}: teacher_map is on {teacher.device}, x on {view.device};"
            " move one to the device of the other"
        )
    positions = size[0] * size[1]
    if teacher.dim() == 0 or teacher.shape[-1] != positions:
        given = teacher.shape[-1] if teacher.dim() else "no"
        raise ValueError(
            f"{function}: teacher_map has {given} positions but the map of x has {positions}"
            f" (grid {size[0]} x {size[1]} from features {view.shape[1]} x {view.shape[2]});"
            " pass size=(height, width) of the teacher's grid, or a teacher_map of this grid"
        )
    shape = teacher.shape[:-1]
    tail = leading[len(leading) - len(shape) :]
    if len(shape) > len(leading) or any(n not in (1, m) for n, m in zip(shape, tail, strict=False)):
        raise ValueError(
            f"{function}: teacher_map has leading shape {tuple(shape)}, which does not broadcast to"
            f" that of x, {leading}; give it the trailing part of it, or ones"
        )
    if shape == leading:
        return teacher.reshape(-1, positions)
    while len(shape) and shape[0] == 1:
        teacher, shape = teacher.squeeze(0), shape[1:]
    if len(shape) == 0:
        return teacher.unsqueeze(0)
    return teacher.expand(*tail[len(tail) - len(shape) :], positions).reshape(-1, positions)


def check_slice_limits(weight: Tensor, sizes: Tensor) -> None:
    """Raise ``ValueError`` where a slice is not a leading block of ``weight``."""
    limits = torch.tensor(weight.shape)
    outside = ((sizes < 0) | (sizes > limits)).any(dim=1)
    if bool(outside.any()):
        row = int(outside.int().argmax())
        raise ValueError(
            f"slice_norms: sizes[{row}] = {tuple(sizes[row].tolist())} is outside weight; allowed"
            f" are 0 to {weight.shape[0]} rows and 0 to {weight.shape[1]} columns"
        )


def slice_sizes(sizes: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """Sizes as an int64 tensor ``[n, 2]`` on the CPU."""
    if not isinstance(sizes, Tensor):
        sizes = torch.tensor([tuple(size) for size in sizes], dtype=torch.int64).reshape(-1, 2)
    if sizes.dim() != 2 or sizes.shape[1] != 2 or sizes.is_floating_point() or sizes.is_complex():
        raise ValueError(
            f"slice_norms: sizes is {tuple(sizes.shape)} {sizes.dtype}; pass integers [n, 2],"
            " one (rows, columns) per slice"
        )
    if sizes.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"slice_norms: sizes is on {sizes.device}; keep it on the CPU, where it is checked"
        )
    return sizes.to(torch.int64)


def _pair(function: str, name: str, value: Sequence[int]) -> tuple[int, int]:
    if len(value) != 2:
        raise ValueError(f"{function}: {name}={tuple(value)}; pass (height, width)")
    height, width = value
    if height < 1 or width < 1:
        raise ValueError(f"{function}: {name}={(height, width)}; both must be at least 1")
    return height, width
