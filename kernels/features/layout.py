"""Memory layout of features ``[B, H, W, C]`` and their gradient."""

from __future__ import annotations

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


def is_walkable(x: Tensor) -> bool:
    """Whether compiled kernels can walk ``x``, ``[B, H, W, C]``: channels or columns adjacent."""
    return x.stride(3) == 1 or x.stride(2) == 1


def walkable(x: Tensor) -> Tensor:
    """``x`` itself where compiled kernels can walk it, else a contiguous copy."""
    return x if is_walkable(x) else x.contiguous()
