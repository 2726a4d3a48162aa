"""The attention half of a block in C++: what is between its layers stays in the cache."""

from __future__ import annotations

import torch

from ..backend.native import (
    DTYPE_CODES,
    INSTRUCTION_SETS,
    adjacent,
    extension,
    instruction_sets,
    product_reasons,
)
from ..linear import native as linear
from ..linear.definition import Arguments as LinearArguments
from ..packed_attention import native as packed_attention
from ..packed_attention.definition import Arguments as PackedArguments
from .definition import Arguments


def reasons(call: Arguments) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    return product_reasons("x", call.x)


def run(call: Arguments, *, instruction_set: str | None = None) -> None:
    """Fill ``out`` ``[K, N, T, C]`` from ``[N, T, C]``, by the fastest kernel or the named one."""
    if len(call.x) < torch.get_num_threads():
        by_layers(call, instruction_set=instruction_set)
        return
    x, w_qkv, b_qkv, w_proj, b_proj, heads, eps, out = call
    name = instruction_set or instruction_sets()[0]
    rows = adjacent(x.flatten(0, 1))
    w_qkv, w_proj = adjacent(w_qkv), adjacent(w_proj)
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


def by_layers(call: Arguments, *, instruction_set: str | None = None) -> None:
    """The same bits by operators that divide images among threads, for fewer images than those."""
    x, w_qkv, b_qkv, w_proj, b_proj, heads, eps, out = call
    dim = w_proj.shape[1] // heads[-1]
    rows = x.flatten(0, 1)
    qkv = x.new_empty(len(rows), len(w_qkv))
    first = LinearArguments(qkv, rows, w_qkv, b_qkv, None, eps, False)
    linear.run(first, instruction_set=instruction_set)
    packed = PackedArguments(qkv.unflatten(0, x.shape[:2]), heads[-1], dim**-0.5)
    mixed = packed_attention.run(packed, instruction_set=instruction_set).flatten(0, 1)
    for count, result in zip(heads, out.flatten(1, 2).unbind(0), strict=True):
        merged, weight = mixed[:, : count * dim], w_proj[:, : count * dim]
        second = LinearArguments(result, merged, weight, b_proj, rows, None, False)
        linear.run(second, instruction_set=instruction_set)
