"""Public Gram operator."""

from __future__ import annotations

import math

from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["gram"]


def gram(
    x: Tensor, y: Tensor | None = None, *, relative: bool = False, backend: str | None = None
) -> Tensor:
    """Inner products of all pairs of rows, for few and long rows.

    ``G_ij = sum_m x_im y_jm``; with ``relative``, ``G_ij = sum_m (x_im - x_0m) (x_jm - x_0m)``.

    Args:
        x: ``[*, n, M]``; fp32, fp16, bf16 or fp64, any strides.
        y: ``[*, m, M]`` of the same dtype, leading dimensions broadcast to those of ``x``; ``x``
            itself by default.
        relative: Take all rows relative to the first one. Distances and angles between rows do not
            change, but no longer drown in what all rows have in common. Not with ``y``.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``[*, n, m]``; fp64 for fp64 input, else fp32.

    Differentiable any number of times; the gradient of an operand has its dtype. Products are exact
    for half inputs and never rounded to TF32. The triton and native backends sum in an order fixed
    by the shapes, the native one whatever the number of threads; the reference is PyTorch's matrix
    product in the format of the result, autocast or not. Error bound:
    :func:`tvtfast.kernels.gram.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype, or the dtypes differ.
        ValueError: Shapes or devices do not fit together, or ``relative`` is asked for with ``y``.
        BackendError: The backend asked for by name cannot serve the call.
    """
    rows, others, leading = _operands(x, y, relative)
    call = Arguments(rows, others, relative)
    if transforms.takes_reference("gram", backend):
        products = reference.run(call)
    else:
        products = execute("gram", call, backend, rows, others)
    return products.reshape(*leading, *products.shape[-2:])


def _operands(
    x: Tensor, y: Tensor | None, relative: bool
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    """Both operands with one leading dimension, and the leading shape of ``x``."""
    checks.check_dtype("gram", "x", x)
    if x.dim() < 2:
        raise ValueError(f"gram: x has shape {tuple(x.shape)}; pass rows [*, n, M]")
    leading = tuple(x.shape[:-2])
    rows = x.reshape(math.prod(leading), *x.shape[-2:])
    if y is None:
        return rows, None, leading
    checks.check_dtype("gram", "y", y)
    if y.dtype != x.dtype:
        raise TypeError(f"gram: x is {x.dtype}, y is {y.dtype}; convert one of them with .to()")
    if y.device != x.device:
        raise ValueError(
            f"gram: y is on {y.device}, x on {x.device}; move one to the device of the other"
        )
    if relative:
        raise ValueError("gram: relative=True takes one operand; leave y out, or subtract yourself")
    if y.dim() < 2 or y.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"gram: x has shape {tuple(x.shape)}, y {tuple(y.shape)}; pass rows of equal length,"
            " [*, n, M] and [*, m, M]"
        )
    return rows, checks.folded("gram", "y", y, leading, 2), leading
