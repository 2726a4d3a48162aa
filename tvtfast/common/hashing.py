"""Content hashes of tensors."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def fingerprint(*tensors: Tensor) -> str:
    """SHA-256 over the dtype, shape and bytes of each tensor, in order.

    Equal fingerprints mean equal bits; neither device nor memory layout matters.

    Args:
        tensors: Of any dtype, shape and device; read through a contiguous copy on the CPU.

    Returns:
        64 hexadecimal digits.
    """
    import torch

    digest = hashlib.sha256()
    for tensor in tensors:
        # a view as bytes needs at least one dimension, and bfloat16 has no NumPy counterpart
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
