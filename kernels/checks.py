"""Validation of public arguments, and their normal form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from .dtypes import SUPPORTED_DTYPES


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


def folded(function: str, name: str, tensor: Tensor, leading: tuple[int, ...], kept: int) -> Tensor:
    """``tensor`` as ``[T, ...]`` with its last ``kept`` dimensions; entry ``b`` of a flattened
    ``leading`` meets ``b % T``.

    Nothing is copied for what is the same along leading dimensions; what broadcasts over inner ones
    is.
    """
    shape, last = tensor.shape[:-kept], tensor.shape[-kept:]
    check_broadcast(function, name, shape, "x", leading)
    if shape == leading:
        return tensor if len(leading) == 1 else tensor.reshape(math.prod(leading), *last)
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
