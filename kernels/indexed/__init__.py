"""Public index-keyed random number operators."""

from __future__ import annotations

import hashlib
import operator

import torch
from torch import Tensor

from .. import checks, library, transforms

__all__ = ["indexed_normal_", "indexed_uniform_"]


_ops = getattr(torch.ops, library.NAMESPACE)


def indexed_normal_(
    tensor: Tensor,
    *,
    seed: int,
    name: str,
    mean: float = 0.0,
    std: float = 1.0,
    backend: str | None = None,
) -> Tensor:
    """Fill with normal numbers that depend on seed, name and index alone.

    Two tensors of different shapes share the value at every index they have in common, whatever
    their device, dtype (up to rounding), strides and backend. The value at ``(i0, i1, i2, j)``,
    indices of fewer dimensions padded with leading zeros, is lane ``j % 4`` of Philox 4x32-10 with
    counter ``(j // 4, i2, i1, i0)`` and the key of :func:`index_key`. Lanes 0, 1 and 2, 3 are
    Box-Muller pairs: with k = word >> 8, the first word gives ``r = sqrt(-2 ln(k 2^-24 + 2^-25))``,
    the second the angle ``t = 2 pi k 2^-24``; even lanes are ``r cos t``, odd ones ``r sin t``.

    Args:
        tensor: Filled in place; at most 4 dimensions, fp32, fp16, bf16 or fp64, any strides.
        seed: Integer in [0, 2^64).
        name: Name of the tensor, such as that of a parameter.
        mean: Mean.
        std: Standard deviation.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``tensor``.

    All arithmetic is correctly rounded fp32 in a fixed order, so every backend returns the same
    bits; ``mean + std z`` is then rounded to the dtype of ``tensor`` (fp64 tensors hold the fp32
    value). |z| is below 5.89. Measured against fp64 over all 2^24 radius words, whose argument of
    the logarithm is rounded to fp32 by definition, the error of z is at most 6.8e-7.

    Raises:
        TypeError: ``tensor`` is not floating-point of a listed dtype, or ``seed`` not an integer.
        ValueError: More than 4 dimensions, a seed outside its range, or a negative ``std``.
        RuntimeError: Called inside a ``torch.func`` transform, or gradients are recorded and
            ``tensor`` is the result of a computation.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011.
    """
    _check("indexed_normal_", tensor)
    if not std >= 0:
        raise ValueError(f"indexed_normal_: std={std}; it must be at least 0")
    with torch.no_grad():
        _ops.indexed_normal_.default(tensor, index_key(seed, name), mean, std, backend=backend)
    return tensor


def indexed_uniform_(
    tensor: Tensor,
    *,
    seed: int,
    name: str,
    low: float = 0.0,
    high: float = 1.0,
    backend: str | None = None,
) -> Tensor:
    """Fill with uniform numbers that depend on seed, name and index alone.

    ``low + (high - low) u`` with ``u = (word >> 8) 2^-24`` in [0, 1), the words being those of
    :func:`indexed_normal_`. As with :meth:`torch.Tensor.uniform_`, rounding may return ``high``
    itself.

    Args:
        tensor: As in :func:`indexed_normal_`.
        seed: As in :func:`indexed_normal_`.
        name: As in :func:`indexed_normal_`.
        low: Lower limit.
        high: Upper limit.
        backend: As in :func:`indexed_normal_`.

    Returns:
        ``tensor``.

    Bits, rounding and errors are as in :func:`indexed_normal_`; ``low > high`` is a ``ValueError``.
    """
    _check("indexed_uniform_", tensor)
    if not low <= high:
        raise ValueError(f"indexed_uniform_: low={low}, high={high}; low must not exceed high")
    with torch.no_grad():
        _ops.indexed_uniform_.default(tensor, index_key(seed, name), low, high, backend=backend)
    return tensor


def index_key(seed: int, name: str) -> int:
    """Philox key of a seed and a name, as a signed 64-bit integer.

    BLAKE2b with an 8-byte digest, personalised ``tvtfast index`` so that no other use of the hash
    yields the same keys, over the seed (8 bytes, little-endian) followed by the name in UTF-8. The
    seed has a fixed length, so distinct pairs are distinct messages. The digest, read
    little-endian, holds key word 0 in its low half.
    """
    value = operator.index(seed)
    if not 0 <= value < 2**64:
        raise ValueError(f"seed={seed} is outside [0, 2^64); reduce it modulo 2**64")
    message = value.to_bytes(8, "little") + name.encode("utf-8")
    digest = hashlib.blake2b(message, digest_size=8, person=b"tvtfast index").digest()
    return int.from_bytes(digest, "little", signed=True)


# What torch.compiler.assume_constant_result sets, without importing the compiler (and triton).
index_key._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _check(function: str, tensor: Tensor) -> None:
    checks.check_dtype(function, "tensor", tensor)
    transforms.refuse(function, tensor)
    if tensor.dim() > 4:
        raise ValueError(
            f"{function}: tensor has {tensor.dim()} dimensions (allowed: at most 4);"
            " fill a view with fewer"
        )
