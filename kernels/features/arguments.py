"""Validation of the public arguments of operators over features."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .. import checks


def feature_view(
    function: str, x: Tensor, prefix_tokens: int, grid: Sequence[int] | None
) -> tuple[Tensor, tuple[int, ...]]:
    """View tokens or features as ``[B, H, W, C]``; also their leading shape.

    Leading dimensions are flattened without a copy where their strides allow it.
    """
    checks.check_dtype(function, "x", x)
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


def feature_views(
    function: str, xs: Sequence[Tensor], prefix_tokens: int, grid: Sequence[int] | None
) -> tuple[list[Tensor], tuple[int, ...]]:
    """:func:`feature_view` of tensors that differ in nothing but their number of channels."""
    if len(xs) == 0:
        raise ValueError(f"{function}: xs is empty; pass at least one tensor")
    pairs = [feature_view(function, x, prefix_tokens, grid) for x in xs]
    views, leading = [view for view, _ in pairs], pairs[0][1]
    first = views[0]
    for k, (view, own) in enumerate(pairs):
        if own != leading or view.shape[1:3] != first.shape[1:3]:
            raise ValueError(
                f"{function}: xs[{k}] has shape {tuple(xs[k].shape)} and xs[0]"
                f" {tuple(xs[0].shape)}; they may differ in channels only"
            )
        if view.dtype != first.dtype or view.device != first.device:
            raise ValueError(
                f"{function}: xs[{k}] is {view.dtype} on {view.device} and xs[0] {first.dtype} on"
                f" {first.device}; convert one with .to()"
            )
    return views, leading


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
    checks.check_dtype(function, "teacher_map", teacher)
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
    return checks.folded(function, "teacher_map", teacher, leading, 1)


def _pair(function: str, name: str, value: Sequence[int]) -> tuple[int, int]:
    if len(value) != 2:
        raise ValueError(f"{function}: {name}={tuple(value)}; pass (height, width)")
    height, width = value
    if height < 1 or width < 1:
        raise ValueError(f"{function}: {name}={(height, width)}; both must be at least 1")
    return height, width
