"""Public operator of linear layers."""

from __future__ import annotations

import math

from torch import Tensor

from .. import checks, transforms
from ..calls import execute
from . import reference
from .definition import Arguments

__all__ = ["linear"]


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    norm_eps: float | None = None,
    gelu: bool = False,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """A linear layer with the norm before it, and the activation and the residual sum behind it.

    ``out = residual + act(norm(x) W^T + b)``, of which every part but the product may be absent.

    Args:
        x: ``[*, K]``, fp32, fp16, bf16 or fp64, any strides (no copy where the channels of a token
            are adjacent and tokens lie at one stride).
        weight: ``[N, K]``, the same dtype; a slice of a larger weight is read in place.
        bias: ``[N]``.
        norm_eps: Normalise tokens first, as :func:`~tvtfast.kernels.layer_norm` with this ``eps``.
        gelu: Whether ``act`` is the exact GELU, and not the identity.
        residual: ``[*, N]``.
        out: ``[*, N]`` to write to; may be ``residual``, and must not overlap anything else.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        ``out``, or a new contiguous ``[*, N]``.

    Meant for forward passes on the CPU. In fp64, on other devices and, without ``out``, where
    gradients are recorded or inside ``torch.func`` transforms it is PyTorch's own layer norm,
    linear layer and GELU. Autocast leaves it alone. Sums are fp32 (fp64 for fp64); where PyTorch
    rounds to the dtype between the parts, the native backend does so once, at the end, and for
    bf16 on CPUs with AVX-512 BF16 also what it normalised. That backend computes a token alike
    whatever the others and the number of threads; it declines a few tokens with a large weight,
    which PyTorch multiplies without packing it. Error bound:
    :func:`tvtfast.kernels.linear.definition.tolerance`.

    Raises:
        TypeError: A tensor is not of a listed dtype.
        ValueError: Shapes, dtypes or devices do not fit, or ``out`` cannot be viewed as rows.
        RuntimeError: ``out`` is given where gradients are recorded or a ``torch.func`` transform is
            active.
        BackendError: The backend asked for by name cannot serve the call.

    Source: the order of a pre-norm block, Xiong et al., On layer normalization in the transformer
    architecture, ICML 2020; a product in registers over packed panels as in Goto and van de Geijn,
    Anatomy of high-performance matrix multiplication, ACM TOMS 2008.
    """
    _check(x, weight, bias=bias, residual=residual, out=out)
    shape = (*x.shape[:-1], len(weight))
    rows = x.reshape(math.prod(x.shape[:-1]), weight.shape[1])
    added = None if residual is None else residual.reshape(len(rows), len(weight))
    given = (x, weight, bias, residual)
    if out is None:
        if transforms.takes_reference("linear", backend, *given):
            result = reference.forward(rows, weight, bias, added, norm_eps, gelu)
            return result.reshape(shape)
        out = x.new_empty(shape)
    elif transforms.active() or transforms.records_gradients(*given, out):
        raise RuntimeError(
            "linear: writes to out, and gradients are recorded or a torch.func transform is active;"
            " leave out away, or use torch.no_grad()"
        )
    target = _rows(out, len(rows), len(weight))
    call = Arguments(target, rows, weight, bias, added, norm_eps, gelu)
    execute("linear", call, backend, *given, out)
    return out


def _check(x: Tensor, weight: Tensor, **others: Tensor | None) -> None:
    checks.check_dtype("linear", "x", x)
    checks.check_dtype("linear", "weight", weight)
    if x.dim() == 0 or weight.dim() != 2 or x.shape[-1] != weight.shape[1] or 0 in weight.shape:
        raise ValueError(
            f"linear: x has shape {tuple(x.shape)} and weight {tuple(weight.shape)}; pass"
            " [*, inputs] and [outputs, inputs] with one input and output or more"
        )
    wanted = {"bias": weight.shape[:1]}
    for name, tensor in {"weight": weight, **others}.items():
        if tensor is None:
            continue
        shape = weight.shape if name == "weight" else wanted.get(name, (*x.shape[:-1], len(weight)))
        if tensor.dtype != x.dtype or tensor.device != x.device or tensor.shape != shape:
            raise ValueError(
                f"linear: {name} is {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}; for"
                f" this x and weight pass {x.dtype} {tuple(shape)} on {x.device}"
            )


def _rows(out: Tensor, rows: int, outputs: int) -> Tensor:
    try:
        return out.view(rows, outputs)
    except RuntimeError as error:
        raise ValueError(
            f"linear: out has strides {out.stride()}, with which it is no [{rows}, {outputs}];"
            " pass a contiguous tensor, or rows at one stride"
        ) from error
