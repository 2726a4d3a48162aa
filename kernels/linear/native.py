"""A linear layer and what stands around it in C++."""

from __future__ import annotations

import torch

from ..backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    adjacent,
    extension,
    instruction_sets,
    packing_reasons,
    product_reasons,
)
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    out = call.out
    fused = call.norm_eps is not None or call.gelu
    found = product_reasons("x", call.x) + packing_reasons(call.x, call.weight, fused)
    if out.shape[1] > 1 and out.stride(1) != 1:
        found += ("elements of a row of out are not adjacent (allowed: adjacent)",)
    return found


def run(call: Arguments, *, instruction_set: str | None = None) -> None:
    """Rows ``[M, N]`` of rows ``[M, K]``, by the fastest kernel or the named one."""
    out, x, weight, bias, residual, norm_eps, gelu = call
    name = instruction_set or instruction_sets()[0]
    x, weight = adjacent(x), adjacent(weight)
    bias = None if bias is None else bias.contiguous()
    residual = None if residual is None else adjacent(residual)
    extension().linear(
        (
            x.data_ptr(),
            weight.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            0 if residual is None else residual.data_ptr(),
            out.data_ptr(),
        ),
        DTYPE_CODES[x.dtype],
        (*x.shape, weight.shape[0]),
        (
            x.stride(0),
            weight.stride(0),
            0 if residual is None else residual.stride(0),
            out.stride(0),
        ),
        norm_eps,
        gelu,
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
