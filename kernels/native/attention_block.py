"""The attention half of a block in C++: what is between its layers stays in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import linear, packed_attention
from ._extension import DTYPE_CODES, INSTRUCTION_SETS, extension, instruction_sets


def reasons(x: Tensor, *arguments: object) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    return linear.machine_reasons(x)


def write(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    eps: float,
    out: Tensor,
    *,
    instruction_set: str | None = None,
) -> None:
    """Fill ``out`` ``[K, N, T, C]`` from ``[N, T, C]``, by the fastest kernel or the named one."""
    if len(x) < torch.get_num_threads():
        by_layers(x, w_qkv, b_qkv, w_proj, b_proj, heads, eps, out, instruction_set=instruction_set)
        return
    name = instruction_set or instruction_sets()[0]
    rows = linear.adjacent(x.flatten(0, 1))
    w_qkv, w_proj = linear.adjacent(w_qkv), linear.adjacent(w_proj)
    b_qkv, b_proj = (None if bias is None else bias.contiguous() for bias in (b_qkv, b_proj))
    dim = w_proj.shape[1] // heads[-1]
    extension().attention_block(
        tuple(0 if t is None else t.data_ptr() for t in (rows, w_qkv, b_qkv, w_proj, b_proj, out)),
        DTYPE_CODES[x.dtype],
        (*x.shape, dim),
        (rows.stride(0), w_qkv.stride(0), w_proj.stride(0)),
        list(heads),
        dim**-0.5,
        eps,
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )


def by_layers(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: Sequence[int],
    eps: float,
    out: Tensor,
    *,
    instruction_set: str | None = None,
) -> None:
    """The same bits by operators that divide images among threads, for fewer images than those."""
    dim = w_proj.shape[1] // heads[-1]
    rows = x.flatten(0, 1)
    qkv = x.new_empty(len(rows), len(w_qkv))
    linear.write(qkv, rows, w_qkv, b_qkv, None, eps, False, instruction_set=instruction_set)
    mixed = packed_attention.forward(
        qkv.unflatten(0, x.shape[:2]), heads[-1], dim**-0.5, instruction_set=instruction_set
    ).flatten(0, 1)
    for count, result in zip(heads, out.flatten(1, 2).unbind(0), strict=True):
        first, weight = mixed[:, : count * dim], w_proj[:, : count * dim]
        linear.write(
            result, first, weight, b_proj, rows, None, False, instruction_set=instruction_set
        )
