"""Tensors on the device, and the memory they need."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
GIB = 1 << 30


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, device="cuda").to(dtype)


def need_memory(gibibytes: int) -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < gibibytes * GIB:
        pytest.skip(f"needs {gibibytes} GiB of free device memory, {free / GIB:.1f} are free")


def feature_view(dtype: torch.dtype, layout: str, grid: int, channels: int) -> Tensor:
    """Features ``[B, H, W, C]``."""
    if layout == "tokens":
        return random(5, 1 + grid * grid, channels, dtype=dtype)[:, 1:].unflatten(1, (grid, grid))
    if layout == "cropped":
        whole = random(5, channels, grid + 2, grid + 3, dtype=dtype)
        return whole[:, :, 1:-1, 1:-2].permute(0, 2, 3, 1)
    return random(5, channels, grid, grid, dtype=dtype).permute(0, 2, 3, 1)


def queries_and_keys(
    images: int, heads: int, tokens: int, channels: int, dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """``[B, H, N, D]`` as the parts of a fused projection."""
    qkv = random(images, tokens, 3, heads, channels, dtype=dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


def attention_operands(shape: tuple[int, int, int], inner: int, dtype: torch.dtype) -> list[Tensor]:
    """Tokens, weights and biases of the attention half of a block."""
    channels = shape[-1]
    x = 1 + 2 * random(*shape)
    w_qkv = random(3 * inner, channels) / channels**0.5
    w_proj = random(channels, inner) / inner**0.5
    every = (x, w_qkv, random(3 * inner), w_proj, random(channels))
    return [tensor.to(dtype) for tensor in every]
