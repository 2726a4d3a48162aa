"""Memory layout of tensors and of lists of them, shared by backends and fakes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def empty_tokens_first(x: Tensor) -> Tensor:
    """Uninitialised ``[B, H, N, D]`` like ``x``, as a view of dense ``[B, N, H, D]``: heads merge
    without a copy."""
    images, heads, tokens, channels = x.shape
    dense = torch.empty(images, tokens, heads, channels, dtype=x.dtype, device=x.device)
    return dense.transpose(1, 2)


def differences(xs: Sequence[Tensor], other: Tensor) -> tuple[str, ...]:
    """Why a list that one call walks, and another argument of it, cannot be read alike."""
    found = []
    dtypes = sorted({str(x.dtype).removeprefix("torch.") for x in xs})
    if len(dtypes) > 1:
        found.append(f"tensors are {', '.join(dtypes)} (allowed: one dtype)")
    devices = sorted({str(tensor.device) for tensor in (*xs, other)})
    if len(devices) > 1:
        found.append(f"arguments are on {', '.join(devices)} (allowed: one device)")
    return tuple(found)


def elsewhere(x: Tensor, others: Sequence[object]) -> tuple[str, ...]:
    """Why tensors among ``others`` cannot be read together with ``x``."""
    return tuple(
        f"an argument is on {other.device}, x on {x.device} (allowed: one device)"
        for other in others
        if isinstance(other, Tensor) and other.device != x.device
    )


def tensor_kinds(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """One tensor of every type, dtype, device and ``requires_grad`` in a list."""
    if len(tensors) == 1:
        return tuple(tensors)
    return tuple({(type(t), t.dtype, t.device, t.requires_grad): t for t in tensors}.values())


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill one run of memory, in any order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(
        (stride, size)
        for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
        if size != 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True
