"""Validation of public arguments, and their normal form.

Feature tensors of either layout become views ``[B, H, W, C]``: the layout lives in the strides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .reference.self_attention_stats import STATISTICS
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


def check_like(function: str, name: str, tensor: Tensor, x: Tensor) -> None:
    """Raise unless ``tensor`` has the dtype and the device of ``x``."""
    if tensor.dtype != x.dtype:
        raise TypeError(
            f"{function}: x is {x.dtype} and {name} is {tensor.dtype}; convert one with .to()"
        )
    if tensor.device != x.device:
        raise ValueError(
            f"{function}: x is on {x.device}, {name} on {tensor.device}; move one to the other"
        )


def check_weights(
    function: str, x: Tensor, weights: Mapping[str, tuple[Tensor | None, tuple[int, ...]]]
) -> None:
    """Raise unless the weights there are have their shapes, and dtype and device of ``x``."""
    first, (_, rows) = next(iter(weights.items()))
    for name, (tensor, shape) in weights.items():
        if tensor is None:
            continue
        check_dtype(function, name, tensor)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{function}: {name} has shape {tuple(tensor.shape)}; with {x.shape[-1]} channels"
                f" and {first} of {rows[0]} rows it must be {shape}"
            )
        check_like(function, name, tensor, x)


def increasing(
    function: str, name: str, numbers: Sequence[int] | None, most: int, what: str
) -> list[int]:
    """Increasing numbers up to ``most``, which is the default."""
    found = [most] if numbers is None else list(numbers)
    limits = [0, *found, most + 1]
    if not found or any(a >= b for a, b in zip(limits, limits[1:], strict=False)):
        raise ValueError(
            f"{function}: {name}={tuple(found)}; pass increasing numbers from 1 to {most}, {what}"
        )
    return found


def check_out(function: str, out: Tensor, x: Tensor, shape: Sequence[int]) -> None:
    """Raise unless ``out`` is a contiguous tensor of this shape, like ``x``."""
    if tuple(out.shape) != tuple(shape) or not out.is_contiguous():
        raise ValueError(
            f"{function}: out has shape {tuple(out.shape)} and strides {out.stride()}; pass a"
            f" contiguous tensor {tuple(shape)}"
        )
    check_like(function, "out", out, x)


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
    return folded(function, "teacher_map", teacher, leading, 1)


def folded(function: str, name: str, tensor: Tensor, leading: tuple[int, ...], kept: int) -> Tensor:
    """``tensor`` as ``[T, ...]`` with its last ``kept`` dimensions; entry ``b`` of a flattened
    ``leading`` meets ``b % T``.

    Nothing is copied for what is the same along leading dimensions; what broadcasts over inner ones
    is.
    """
    shape, last = tensor.shape[:-kept], tensor.shape[-kept:]
    check_broadcast(function, name, shape, "x", leading)
    if shape == leading:
        return tensor.reshape(math.prod(leading), *last)
    while len(shape) and shape[0] == 1:
        tensor, shape = tensor.squeeze(0), shape[1:]
    tail = leading[len(leading) - len(shape) :]
    return tensor.expand(*tail, *last).reshape(math.prod(tail), *last)


def check_broadcast(
    function: str, name: str, shape: Sequence[int], other: str, leading: Sequence[int]
) -> None:
    """Raise ``ValueError`` unless leading dimensions ``shape`` broadcast to ``leading``."""
    tail = leading[len(leading) - len(shape) :]
    if len(shape) > len(leading) or any(n not in (1, m) for n, m in zip(shape, tail, strict=False)):
        raise ValueError(
            f"{function}: {name} has leading shape {tuple(shape)}, which does not broadcast to"
            f" that of {other}, {tuple(leading)}; give it the trailing part of it, or ones"
        )


def slice_sizes(function: str, sizes: Tensor | Sequence[Sequence[int]]) -> Tensor:
    """Sizes as an int64 tensor ``[n, 2]`` on the CPU."""
    if not isinstance(sizes, Tensor):
        sizes = torch.tensor([tuple(size) for size in sizes], dtype=torch.int64).reshape(-1, 2)
    if sizes.dim() != 2 or sizes.shape[1] != 2 or sizes.is_floating_point() or sizes.is_complex():
        raise ValueError(
            f"{function}: sizes is {tuple(sizes.shape)} {sizes.dtype}; pass integers [n, 2],"
            " one (rows, columns) per slice"
        )
    if sizes.device.type not in ("cpu", "meta"):
        raise ValueError(
            f"{function}: sizes is on {sizes.device}; keep it on the CPU, where it is checked"
        )
    return sizes.to(torch.int64)


def like_queries(function: str, operands: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not ``[B, H, N, D]`` like the first of them, the queries."""
    (_, q), *others = operands.items()
    check_dtype(function, "q", q)
    for name, x in others:
        check_dtype(function, name, x)
        if q.dtype != x.dtype:
            raise TypeError(
                f"{function}: q is {q.dtype} and {name} is {x.dtype}; convert one with .to()"
            )
        if q.dim() != 4 or q.shape != x.shape or q.shape[-1] == 0:
            raise ValueError(
                f"{function}: q has shape {tuple(q.shape)} and {name} {tuple(x.shape)}; both are"
                " [B, H, N, D] (images, heads, tokens, channels of a head) with at least one"
                " channel"
            )
        if q.device != x.device:
            raise ValueError(
                f"{function}: q is on {q.device}, {name} on {x.device}; move one to the other"
            )


def attention_arguments(
    function: str, q: Tensor, k: Tensor, statistics: Sequence[str]
) -> list[str]:
    """Refuse queries and keys that do not fit together; the names of the statistics as a list."""
    like_queries(function, {"q": q, "k": k})
    names = list(statistics)
    if isinstance(statistics, str) or len(set(names)) < len(names) or set(names) - set(STATISTICS):
        raise ValueError(
            f"{function}: statistics={statistics!r}; pass a sequence of different names of"
            f" {', '.join(STATISTICS)}"
        )
    return names


def key_map(function: str, teacher: Tensor | None, q: Tensor) -> Tensor | None:
    """Teacher map over the keys as rows ``[B, N]``."""
    if teacher is None:
        return None
    check_dtype(function, "teacher", teacher)
    if teacher.device != q.device:
        raise ValueError(
            f"{function}: teacher is on {teacher.device}, q on {q.device}; move one to the other"
        )
    images, _, tokens, _ = q.shape
    shape = (1,) * (2 - teacher.dim()) + tuple(teacher.shape)
    if len(shape) != 2 or shape[0] not in (1, images) or shape[1] != tokens:
        raise ValueError(
            f"{function}: teacher has shape {tuple(teacher.shape)}; it is a map over the keys,"
            f" {(images, tokens)} or one row of it; give prefix tokens the value they shall have,"
            " such as torch.nn.functional.pad(map, (1, 0)) for one class token"
        )
    return teacher.expand(images, tokens)


def _pair(function: str, name: str, value: Sequence[int]) -> tuple[int, int]:
    if len(value) != 2:
        raise ValueError(f"{function}: {name}={tuple(value)}; pass (height, width)")
    height, width = value
    if height < 1 or width < 1:
        raise ValueError(f"{function}: {name}={(height, width)}; both must be at least 1")
    return height, width
