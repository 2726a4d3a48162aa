"""Index-keyed random numbers in C++, bit for bit those of the reference."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..backend.native import extension, missing
from .definition import Arguments, NormalArguments, UniformArguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot fill this tensor."""
    tensor = call.tensor
    if tensor.device.type != "cpu":
        return (*missing(), f"tensor is on {tensor.device} (allowed: cpu)")
    return missing()


def normal_(call: NormalArguments) -> None:
    """Fill with ``mean + std z``, z standard normal by Box and Muller."""
    _fill(extension().indexed_normal, call.tensor, call.key, call.std, call.mean)


def uniform_(call: UniformArguments) -> None:
    """Fill with ``low + (high - low) u``, u a multiple of 2^-24 in [0, 1)."""
    _fill(extension().indexed_uniform, call.tensor, call.key, call.high - call.low, call.low)


def _fill(
    kernel: Callable[..., None], tensor: Tensor, key: int, scale: float, shift: float
) -> None:
    direct = tensor.dtype == torch.float32 and tensor.is_contiguous()
    target = tensor if direct else torch.empty(tensor.shape)
    shape = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    kernel(target.data_ptr(), shape, key & (2**64 - 1), scale, shift, torch.get_num_threads())
    if not direct:
        tensor.copy_(target)
    elif not tensor.is_inference():
        # PyTorch has not seen the write; autograd must know that saved copies are stale.
        torch.autograd.graph.increment_version(tensor)
