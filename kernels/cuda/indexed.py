"""Index-keyed random numbers in CUDA C++, bit for bit those of the reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..spec import SUPPORTED_DTYPES
from ._extension import extension, queue, tensor_reasons


def reasons(tensor: Tensor, key: int, first: float, second: float) -> tuple[str, ...]:
    """Why the extension cannot fill this tensor."""
    return tensor_reasons([("tensor", tensor)], SUPPORTED_DTYPES)


def normal_(tensor: Tensor, key: int, mean: float, std: float) -> None:
    """Fill with ``mean + std z``, z standard normal by Box and Muller."""
    _fill(extension().indexed_normal, tensor, key, std, mean)


def uniform_(tensor: Tensor, key: int, low: float, high: float) -> None:
    """Fill with ``low + (high - low) u``, u a multiple of 2^-24 in [0, 1)."""
    _fill(extension().indexed_uniform, tensor, key, high - low, low)


def _fill(
    kernel: Callable[..., None], tensor: Tensor, key: int, scale: float, shift: float
) -> None:
    direct = tensor.dtype == torch.float32 and tensor.is_contiguous()
    target = (
        tensor if direct else torch.empty(tensor.shape, dtype=torch.float32, device=tensor.device)
    )
    shape = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    kernel(target.data_ptr(), shape, key & (2**64 - 1), scale, shift, *queue(tensor.device))
    if not direct:
        tensor.copy_(target)
    elif not tensor.is_inference():
        # PyTorch has not seen the write; autograd must know that saved copies are stale.
        torch.autograd.graph.increment_version(tensor)
