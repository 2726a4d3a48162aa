"""Memory layout of features and their gradient, shared by the backends and the fake."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def empty_gradient(x: Tensor) -> Tensor:
    """Dense uninitialised tensor like ``x``, ``[B, H, W, C]``, with the fast axis of ``x``.

    Channels are innermost where they are in ``x`` (tokens, channels-last), else positions are (the
    usual ``[B, C, H, W]`` features seen as ``[B, H, W, C]``), so the gradient needs no copy when it
    is handed to whatever made ``x``.
    """
    if x.stride(3) == 1:
        return x.new_empty(x.shape)
    images, height, width, channels = x.shape
    return x.new_empty((images, channels, height, width)).permute(0, 2, 3, 1)


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


def is_walkable(x: Tensor) -> bool:
    """Whether compiled kernels can walk ``x``, ``[B, H, W, C]``: channels or columns adjacent."""
    return x.stride(3) == 1 or x.stride(2) == 1


def walkable(x: Tensor) -> Tensor:
    """``x`` itself where compiled kernels can walk it, else a contiguous copy."""
    return x if is_walkable(x) else x.contiguous()
