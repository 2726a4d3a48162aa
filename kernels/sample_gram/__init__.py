"""Public Gram matrix of per-sample weight gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import checks
from ..dtypes import accumulation_dtype, no_autocast
from ..gram import gram

__all__ = ["sample_gram"]


GRADIENT_ELEMENTS = 1 << 26
"""Elements of per-sample gradients that are formed at a time."""


def sample_gram(inputs: Tensor, grad_outputs: Tensor, *, backend: str | None = None) -> Tensor:
    r"""Inner products of the per-sample weight gradients of a linear layer.

    The gradient of sample ``i`` is ``W_i = X_i^T G_i``, and

    .. math:: K_{ij} = \langle W_i, W_j \rangle
        = \sum_{t,s} (X_i X_j^T)_{ts} (G_i G_j^T)_{ts}

    Whichever side takes fewer operations for these shapes is computed, by
    `tvtfast.kernels.gram`: gradients ``[*, B, I*O]``, a part of their columns at a time, or
    products of tokens ``[*, B*T, B*T]``.

    Args:
        inputs: ``X``, what the layer was given, ``[*, B, T, I]``; fp32, fp16, bf16 or fp64. Leading
            dimensions are layers of one shape, each with samples of its own.
        grad_outputs: ``G``, gradient of the outputs, ``[*, B, T, O]`` of the same dtype.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`, for the Gram matrices.

    Returns:
        ``[*, B, B]``; fp64 for fp64 input, else fp32. Differentiable.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or the dtypes differ.
        ValueError: Shapes or devices do not fit together.
        BackendError: The backend asked for by name cannot serve the call.

    Determinism: that of `tvtfast.kernels.gram` and of PyTorch's matrix product.
    """
    _check(inputs, grad_outputs)
    *layers, samples, tokens, width = inputs.shape
    outputs = grad_outputs.shape[-1]
    by_gradients = samples * width * outputs * (tokens + samples)
    by_tokens = (samples * tokens) ** 2 * (width + outputs)
    if by_tokens < by_gradients:
        products = gram(inputs.flatten(-3, -2), backend=backend) * gram(
            grad_outputs.flatten(-3, -2), backend=backend
        )
        return products.view(*layers, samples, tokens, samples, tokens).sum(dim=(-3, -1))
    wide = accumulation_dtype(inputs.dtype)
    rows = inputs.to(wide).mT
    part = max(1, GRADIENT_ELEMENTS // max(math.prod(layers) * samples * width, 1))
    total = torch.zeros(*layers, samples, samples, dtype=wide, device=inputs.device)
    for some in grad_outputs.to(wide).split(part, dim=-1):
        with no_autocast(inputs):
            gradients = rows @ some
        total = total + gram(gradients.flatten(-2), backend=backend)
    return total


def _check(inputs: Tensor, grad_outputs: Tensor) -> None:
    checks.check_dtype("sample_gram", "inputs", inputs)
    checks.check_dtype("sample_gram", "grad_outputs", grad_outputs)
    if inputs.dtype != grad_outputs.dtype:
        raise TypeError(
            f"sample_gram: inputs is {inputs.dtype}, grad_outputs {grad_outputs.dtype}; convert one"
            " of them with .to()"
        )
    if inputs.device != grad_outputs.device:
        raise ValueError(
            f"sample_gram: grad_outputs is on {grad_outputs.device}, inputs on {inputs.device};"
            " move one to the device of the other"
        )
    if inputs.dim() < 3 or inputs.shape[:-1] != grad_outputs.shape[:-1]:
        raise ValueError(
            f"sample_gram: inputs has shape {tuple(inputs.shape)}, grad_outputs"
            f" {tuple(grad_outputs.shape)}; pass [*, B, T, I] and [*, B, T, O], with T = 1 for a"
            " layer that sees one row per sample"
        )
