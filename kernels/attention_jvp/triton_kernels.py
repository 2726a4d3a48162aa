"""Attention and its tangent in Triton: weights and their tangents live in registers, tile by tile.

One program walks the keys once for a block of queries with a running maximum, as
:mod:`.self_attention_stats` does; what a new maximum shrinks are the sums of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..layout import empty_tokens_first
from ..tiles.alignment import shared_unit
from ..tiles.heads import LOG2_E, load_tokens
from ..tiles.types import factor_type
from .definition import Arguments


@dataclass(frozen=True)
class Config:
    """Queries and keys of a tile, channels of a head padded to a power of two, how many of them
    are multiplied at a time, and warps."""

    queries: int
    keys: int
    channels: int
    step: int
    warps: int


def pick(tokens: int, channels: int, itemsize: int) -> Config:
    """Tile of the kernel: six operands and two sums must fit into registers and shared memory."""
    padded = max(16, triton.next_power_of_2(channels))
    block = 64 if itemsize == 2 else 32
    if padded > 64:
        block //= 2
    else:
        block = min(block, max(16, triton.next_power_of_2(tokens)))
    return Config(block, min(block, 32), padded, padded if itemsize == 2 else 16, 4)


def forward(call: Arguments) -> tuple[Tensor, Tensor]:
    """Attention and its tangent, ``[B, H, N, D]`` as views of ``[B, N, H, D]``."""
    q, scale = call.q, call.scale
    out, tangent = empty_tokens_first(q), empty_tokens_first(q)
    images, heads, tokens, channels = q.shape
    if q.numel() == 0:
        return out, tangent
    values, tangents = _alike(call[:3]), _alike(call[3:6])
    config = pick(tokens, channels, q.element_size())
    counts = [*_strides(values[0]), *_strides(tangents[0]), channels]
    unit = shared_unit((*values, *tangents, out), counts)
    with torch.cuda.device_of(q):
        _dual_kernel[(images * heads, triton.cdiv(tokens, config.queries))](
            *values,
            *tangents,
            out,
            tangent,
            scale,
            scale * LOG2_E,
            heads,
            tokens,
            *(count // unit for count in counts),
            UNIT=unit,
            BLOCK_Q=config.queries,
            BLOCK_K=config.keys,
            BLOCK_D=config.channels,
            STEP=config.step,
            DOT=factor_type(q.dtype),
            num_warps=config.warps,
        )
    return out, tangent


def _alike(operands: Sequence[Tensor]) -> list[Tensor]:
    """Operands whose channels are adjacent and whose strides are those of the first."""
    first = operands[0]
    if first.stride(3) == 1 and all(x.stride() == first.stride() for x in operands):
        return list(operands)
    return [x.contiguous() for x in operands]


def _strides(x: Tensor) -> list[int]:
    """Of images, heads and tokens."""
    sizes = zip(x.shape[:3], x.stride()[:3], strict=True)
    return [0 if size == 1 else stride for size, stride in sizes]


_SIZES = [
    *("heads", "tokens"),
    *("image_units", "head_units", "token_units"),
    *("dimage_units", "dhead_units", "dtoken_units"),
    "channel_units",
]


@triton.jit(do_not_specialize=_SIZES)
def _dual_kernel(
    q,
    k,
    v,
    dq,
    dk,
    dv,
    out,
    tangent,
    scale,
    scale_log2,
    heads,
    tokens,
    image_units,
    head_units,
    token_units,
    dimage_units,
    dhead_units,
    dtoken_units,
    channel_units,
    UNIT: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
):
    """``out`` and ``tangent`` of one block of queries of one head."""
    pair = tl.program_id(0).to(tl.int64)
    image, head = pair // heads, pair % heads
    first = (image * image_units + head * head_units) * UNIT
    dfirst = (image * dimage_units + head * dhead_units) * UNIT
    channels = channel_units * UNIT
    i = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
    queries = q + first + i.to(tl.int64) * token_units * UNIT  # [BLOCK_Q]
    dqueries = dq + dfirst + i.to(tl.int64) * dtoken_units * UNIT  # [BLOCK_Q]
    inside = i < tokens
    query = load_tokens(queries, inside, 0, channels, STEP, DOT)  # [BLOCK_Q, STEP]
    dquery = load_tokens(dqueries, inside, 0, channels, STEP, DOT)  # [BLOCK_Q, STEP]

    largest = tl.full([BLOCK_Q], float("-inf"), tl.float32)  # [BLOCK_Q]
    total = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
    dtotal = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
    mixed = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)  # [BLOCK_Q, BLOCK_D]
    dmixed = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)  # [BLOCK_Q, BLOCK_D]
    for begin in range(0, tokens, BLOCK_K):
        j = begin + tl.arange(0, BLOCK_K)  # [BLOCK_K]
        there = j < tokens
        row = first + j.to(tl.int64) * token_units * UNIT  # [BLOCK_K]
        drow = dfirst + j.to(tl.int64) * dtoken_units * UNIT  # [BLOCK_K]

        score = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)  # [BLOCK_Q, BLOCK_K]
        change = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)  # [BLOCK_Q, BLOCK_K]
        for d in range(0, BLOCK_D, STEP):
            if STEP != BLOCK_D:
                query = load_tokens(queries, inside, d, channels, STEP, DOT)  # [BLOCK_Q, STEP]
                dquery = load_tokens(dqueries, inside, d, channels, STEP, DOT)  # [BLOCK_Q, STEP]
            key = tl.trans(load_tokens(k + row, there, d, channels, STEP, DOT))  # [STEP, BLOCK_K]
            dkey = tl.trans(
                load_tokens(dk + drow, there, d, channels, STEP, DOT)
            )  # [STEP, BLOCK_K]
            score = tl.dot(query, key, score, input_precision="tf32x3")  # [BLOCK_Q, BLOCK_K]
            change = tl.dot(dquery, key, change, input_precision="tf32x3")  # [BLOCK_Q, BLOCK_K]
            change = tl.dot(query, dkey, change, input_precision="tf32x3")  # [BLOCK_Q, BLOCK_K]

        score = tl.where(there[None, :], score * scale_log2, float("-inf"))
        before = largest
        largest = tl.maximum(before, tl.max(score, 1))
        # Nothing has been added before the first block, so nothing shrinks.
        decay = tl.where(before == float("-inf"), 1.0, tl.exp2(before - largest))  # [BLOCK_Q]
        weight = tl.exp2(score - largest[:, None])  # [BLOCK_Q, BLOCK_K]
        dweight = weight * (change * scale)  # [BLOCK_Q, BLOCK_K]
        total = total * decay + tl.sum(weight, 1)
        dtotal = dtotal * decay + tl.sum(dweight, 1)
        mixed *= decay[:, None]
        dmixed *= decay[:, None]
        value = load_tokens(v + row, there, 0, channels, BLOCK_D, DOT)  # [BLOCK_K, BLOCK_D]
        dvalue = load_tokens(dv + drow, there, 0, channels, BLOCK_D, DOT)  # [BLOCK_K, BLOCK_D]
        mixed = tl.dot(weight.to(DOT), value, mixed, input_precision="tf32x3")  # [BLOCK_Q, BLOCK_D]
        dmixed = tl.dot(
            weight.to(DOT), dvalue, dmixed, input_precision="tf32x3"
        )  # [BLOCK_Q, BLOCK_D]
        dmixed = tl.dot(
            dweight.to(DOT), value, dmixed, input_precision="tf32x3"
        )  # [BLOCK_Q, BLOCK_D]

    mixed = mixed / total[:, None]  # [BLOCK_Q, BLOCK_D]
    dmixed = (dmixed - dtotal[:, None] * mixed) / total[:, None]  # [BLOCK_Q, BLOCK_D]
    d = tl.arange(0, BLOCK_D)  # [BLOCK_D]
    at = (image * tokens + i.to(tl.int64)) * heads + head  # [BLOCK_Q]
    at = (at * channel_units * UNIT)[:, None] + d[None, :]  # [BLOCK_Q, BLOCK_D]
    mask = inside[:, None] & (d < channels)[None, :]  # [BLOCK_Q, BLOCK_D]
    tl.store(out + at, mixed.to(out.dtype.element_ty), mask=mask)
    tl.store(tangent + at, dmixed.to(tangent.dtype.element_ty), mask=mask)
