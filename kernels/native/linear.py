"""A linear layer and what stands around it in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ._extension import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    extension,
    instruction_sets,
    tensor_reasons,
    vector_reasons,
)


def reasons(out: Tensor, x: Tensor, *arguments: object) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    found = machine_reasons(x)
    if out.shape[1] > 1 and out.stride(1) != 1:
        found += ("elements of a row of out are not adjacent (allowed: adjacent)",)
    return found


def machine_reasons(x: Tensor) -> tuple[str, ...]:
    """Why no product with these rows should be made here."""
    found = vector_reasons() + tensor_reasons("x", x)
    if x.dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported():
        found += ("this CPU multiplies bf16 in tiles (AMX), which PyTorch's kernels use",)
    return found


def write(
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    norm_eps: float | None,
    gelu: bool,
    *,
    instruction_set: str | None = None,
) -> None:
    """Rows ``[M, N]`` of rows ``[M, K]``, by the fastest kernel or the named one."""
    name = instruction_set or instruction_sets()[0]
    x, weight = adjacent(x), adjacent(weight)
    bias = None if bias is None else bias.contiguous()
    residual = None if residual is None else adjacent(residual)
    extension().linear(
        tuple(0 if t is None else t.data_ptr() for t in (x, weight, bias, residual, out)),
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


def adjacent(rows: Tensor) -> Tensor:
    return rows if rows.stride(1) == 1 else rows.contiguous()
