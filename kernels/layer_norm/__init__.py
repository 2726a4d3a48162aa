"""Public operator of layer normalisation."""

from __future__ import annotations

import math

from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["layer_norm"]


def layer_norm(x: Tensor, *, eps: float = 1e-5, backend: str | None = None) -> Tensor:
    """Layer normalisation over the last axis, without weights.

    ``out_c = (x_c - mean(x)) / sqrt(var(x) + eps)`` with the biased variance over the C channels.

    Args:
        x: ``[*, C]``, fp32, fp16, bf16 or fp64, any strides (no copy where the channels of a token
            are adjacent and tokens lie at one stride).
        eps: Added to the variance.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[*, C]`` of the dtype of ``x``, contiguous.

    Meant for forward passes on the CPU. In fp64, on other devices, inside ``torch.func`` transforms
    and where gradients are recorded it is :func:`torch.nn.functional.layer_norm`. Autocast leaves
    it alone. Arithmetic is fp32 (fp64 for fp64), the variance is that of differences to the mean.
    The native backend computes a token alike whatever the others and the number of threads. Error
    bound: :func:`tvtfast.kernels.layer_norm.definition.tolerance`.

    Raises:
        TypeError: ``x`` is not a floating-point tensor of a listed dtype.
        ValueError: ``x`` has no channels.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Ba et al., Layer normalization, 2016, eq. 4.
    """
    checks.check_dtype("layer_norm", "x", x)
    if x.dim() == 0 or x.shape[-1] == 0:
        raise ValueError(
            f"layer_norm: x has shape {tuple(x.shape)}; pass [*, channels] with one channel or more"
        )
    rows = x if x.dim() == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    call = Arguments(rows, eps)
    if transforms.takes_reference("layer_norm", backend, x):
        result = reference.run(call)
    else:
        result = execute("layer_norm", call, backend, x)
    return result.reshape(x.shape)
