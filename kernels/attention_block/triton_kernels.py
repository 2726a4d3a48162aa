"""The attention half of a block in Triton: two launches, between which queries, keys and values lie
in memory.

The first normalises a block of tokens and walks the outputs of the fused projection. A program of
the second takes the queries of one image in turn through all heads: what a head mixes is multiplied
by its part of the second projection at once and added to the residual, which waits in registers.
Fewer heads are the beginning of more, so their results are what the sum is where they end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles.alignment import readable, shared_unit
from ..tiles.heads import LOG2_E, load_tokens
from ..tiles.normed import load_normed
from ..tiles.types import factor_type
from .definition import Arguments
from .triton import EVEN, MOST_HEADS

MOST_TOKENS = 128
"""Of a program of the first launch."""
OUTPUTS = 64
"""Of a step."""
QUERIES = 64
"""Of a program of the second launch."""
KEYS = 32
"""Of a step: 197 tokens are nearly a multiple of it."""
WHOLE_HEAD = 64
"""Channels of a head that are multiplied at once; more come in two parts, since 80 would be padded
to 128."""
STAGES = 2
WARPS = 8


def write(call: Arguments) -> None:
    """Fill ``out`` ``[K, N, T, C]`` from ``[N, T, C]``."""
    x, w_qkv, w_proj = call.x, call.w_qkv, call.w_proj
    if x.numel() == 0:
        return
    rows = readable(x.flatten(0, 1), MOST_TOKENS, EVEN)
    qkv = torch.empty(len(rows), len(w_qkv), dtype=x.dtype, device=x.device)
    with torch.cuda.device_of(x):
        _project(rows, readable(w_qkv, len(w_qkv), EVEN), call.b_qkv, call.eps, qkv)
        weight = readable(w_proj, len(w_proj), EVEN)
        _attend(rows, qkv, weight, call.b_proj, call.heads, call.out)


def _project(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float, out: Tensor) -> None:
    """``out`` ``[M, O]`` from rows ``[M, C]``."""
    counts = [x.stride(0), weight.stride(0), x.shape[1], out.shape[1]]
    unit = shared_unit((x, weight, out), counts)
    _project_kernel[(triton.cdiv(len(x), MOST_TOKENS),)](
        x,
        weight,
        weight if bias is None else bias.contiguous(),
        out,
        eps,
        len(x),
        *(count // unit for count in counts),
        BIAS=bias is not None,
        UNIT=unit,
        BLOCK_T=MOST_TOKENS,
        BLOCK_C=_padded(x.shape[1]),
        BLOCK_O=OUTPUTS,
        STAGES=STAGES,
        DOT=factor_type(x.dtype),
        num_warps=WARPS,
    )


def _attend(
    x: Tensor,
    qkv: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    heads: Sequence[int],
    out: Tensor,
) -> None:
    """``out`` ``[K, N, T, C]`` from rows ``[N T, C]`` and what they project to."""
    images, tokens, channels = out.shape[1:]
    dim = weight.shape[1] // heads[-1]
    counts = [x.stride(0), weight.stride(0), channels, dim]
    unit = shared_unit((x, qkv, weight, out), counts)
    _attend_kernel[(images * triton.cdiv(tokens, QUERIES),)](
        x,
        qkv,
        weight,
        weight if bias is None else bias.contiguous(),
        out,
        dim**-0.5 * LOG2_E,
        len(x),
        tokens,
        len(heads),
        *(count // unit for count in counts),
        *heads,
        *[heads[-1]] * (MOST_HEADS - len(heads)),
        heads[-1],
        BIAS=bias is not None,
        UNIT=unit,
        BLOCK_Q=QUERIES,
        BLOCK_K=KEYS,
        BLOCK_C=_padded(channels),
        BLOCK_D=_padded(min(dim, WHOLE_HEAD)),
        REST=_padded(dim - WHOLE_HEAD) if dim > WHOLE_HEAD else 0,
        STAGES=STAGES,
        DOT=factor_type(x.dtype),
        num_warps=WARPS,
    )


def _padded(count: int) -> int:
    return max(16, int(triton.next_power_of_2(count)))


_PROJECT_SIZES = ["eps", "rows", "x_units", "weight_units", "channel_units", "output_units"]


@triton.jit(do_not_specialize=_PROJECT_SIZES)
def _project_kernel(
    x,
    weight,
    bias,
    out,
    eps,
    rows,
    x_units,
    weight_units,
    channel_units,
    output_units,
    BIAS: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_O: tl.constexpr,
    STAGES: tl.constexpr,
    DOT: tl.constexpr,
):
    """``out`` ``[M, O]`` of one block of rows."""
    channels, outputs = channel_units * UNIT, output_units * UNIT
    first = tl.program_id(0).to(tl.int64) * BLOCK_T
    i = tl.arange(0, BLOCK_T)  # [BLOCK_T]
    c = tl.arange(0, BLOCK_C)  # [BLOCK_C]
    there = c < channels
    inside = i < rows - first
    x += first * x_units * UNIT
    out += first * outputs
    tokens = (i * x_units * UNIT)[:, None] + c[None, :]  # [BLOCK_T, BLOCK_C]
    normed = load_normed(x + tokens, inside[:, None] & there[None, :], there, channels, eps)
    normed = normed.to(out.dtype.element_ty).to(DOT)  # [BLOCK_T, BLOCK_C]
    for start in tl.range(0, outputs, BLOCK_O, num_stages=STAGES):
        o = start + tl.arange(0, BLOCK_O)  # [BLOCK_O]
        wanted = o < outputs
        place = (o * weight_units * UNIT)[:, None] + c[None, :]  # [BLOCK_O, BLOCK_C]
        row = tl.load(weight + place, mask=wanted[:, None] & there[None, :], other=0.0).to(
            DOT
        )  # [BLOCK_O, BLOCK_C]
        result = tl.dot(normed, tl.trans(row))  # [BLOCK_T, BLOCK_O]
        if BIAS:
            result += tl.load(bias + o, mask=wanted, other=0.0).to(tl.float32)[
                None, :
            ]  # [BLOCK_T, BLOCK_O]
        at = (i * outputs)[:, None] + o[None, :]  # [BLOCK_T, BLOCK_O]
        mask = inside[:, None] & wanted[None, :]  # [BLOCK_T, BLOCK_O]
        tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)


_ATTEND_SIZES = [
    *("scale_log2", "rows", "tokens", "results"),
    *("x_units", "weight_units", "channel_units", "dim_units"),
    *(f"count_{k}" for k in range(MOST_HEADS)),
    "heads",
]


@triton.jit(do_not_specialize=_ATTEND_SIZES)
def _attend_kernel(
    x,
    qkv,
    weight,
    bias,
    out,
    scale_log2,
    rows,
    tokens,
    results,
    x_units,
    weight_units,
    channel_units,
    dim_units,
    count_0,
    count_1,
    count_2,
    count_3,
    heads,
    BIAS: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    REST: tl.constexpr,
    STAGES: tl.constexpr,
    DOT: tl.constexpr,
):
    """``out`` ``[K, N, T, C]`` of one block of queries of one image."""
    channels, dim = channel_units * UNIT, dim_units * UNIT
    inner = heads * dim
    blocks = tl.cdiv(tokens, BLOCK_Q)
    first = (tl.program_id(0) // blocks).to(tl.int64) * tokens
    i = tl.program_id(0) % blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
    c = tl.arange(0, BLOCK_C)  # [BLOCK_C]
    inside = i < tokens
    mask = inside[:, None] & (c < channels)[None, :]  # [BLOCK_Q, BLOCK_C]
    row = first + i  # [BLOCK_Q]
    out += (row * channels)[:, None] + c[None, :]  # [BLOCK_Q, BLOCK_C]
    place = (row * x_units * UNIT)[:, None] + c[None, :]  # [BLOCK_Q, BLOCK_C]
    total = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)  # [BLOCK_Q, BLOCK_C]
    if BIAS:
        total += tl.load(bias + c, mask=c < channels, other=0.0).to(tl.float32)[
            None, :
        ]  # [BLOCK_Q, BLOCK_C]
    queries = qkv + row * 3 * inner  # [BLOCK_Q]
    weights = weight + c * weight_units * UNIT  # [BLOCK_C]
    begin = 0
    for k in range(0, results):
        count = tl.where(k < 2, tl.where(k == 0, count_0, count_1), count_2)
        count = tl.where(k == 3, count_3, count)
        for head in range(begin, count):
            query = load_tokens(queries, inside, 0, dim, BLOCK_D, DOT)  # [BLOCK_Q, BLOCK_D]
            mixed = tl.zeros([BLOCK_Q, BLOCK_D], tl.float32)  # [BLOCK_Q, BLOCK_D]
            if REST:
                query_rest = load_tokens(
                    queries, inside, BLOCK_D, dim, REST, DOT
                )  # [BLOCK_Q, REST]
                mixed_rest = tl.zeros([BLOCK_Q, REST], tl.float32)  # [BLOCK_Q, REST]
            largest = tl.full([BLOCK_Q], float("-inf"), tl.float32)  # [BLOCK_Q]
            size = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
            for start in tl.range(0, tokens, BLOCK_K, num_stages=STAGES):
                j = start + tl.arange(0, BLOCK_K)  # [BLOCK_K]
                there = j < tokens
                keys = qkv + ((first + j) * 3 + 1) * inner + head * dim  # [BLOCK_K]
                key = load_tokens(keys, there, 0, dim, BLOCK_D, DOT)  # [BLOCK_K, BLOCK_D]
                score = tl.dot(query, tl.trans(key))  # [BLOCK_Q, BLOCK_K]
                if REST:
                    key = load_tokens(keys, there, BLOCK_D, dim, REST, DOT)  # [BLOCK_K, REST]
                    score = tl.dot(query_rest, tl.trans(key), score)  # [BLOCK_Q, BLOCK_K]
                score = tl.where(there[None, :], score * scale_log2, float("-inf"))
                before = largest
                largest = tl.maximum(before, tl.max(score, 1))
                decay = tl.exp2(before - largest)  # [BLOCK_Q]
                share = tl.exp2(score - largest[:, None])  # [BLOCK_Q, BLOCK_K]
                size = size * decay + tl.sum(share, 1)
                share = share.to(out.dtype.element_ty).to(DOT)
                value = load_tokens(keys + inner, there, 0, dim, BLOCK_D, DOT)  # [BLOCK_K, BLOCK_D]
                mixed = tl.dot(share, value, mixed * decay[:, None])  # [BLOCK_Q, BLOCK_D]
                if REST:
                    value = load_tokens(
                        keys + inner, there, BLOCK_D, dim, REST, DOT
                    )  # [BLOCK_K, REST]
                    mixed_rest = tl.dot(
                        share, value, mixed_rest * decay[:, None]
                    )  # [BLOCK_Q, REST]
            mixed = (mixed / size[:, None]).to(out.dtype.element_ty).to(DOT)  # [BLOCK_Q, BLOCK_D]
            part = load_tokens(weights, c < channels, 0, dim, BLOCK_D, DOT)  # [BLOCK_C, BLOCK_D]
            total = tl.dot(mixed, tl.trans(part), total)  # [BLOCK_Q, BLOCK_C]
            if REST:
                mixed_rest = (
                    (mixed_rest / size[:, None]).to(out.dtype.element_ty).to(DOT)
                )  # [BLOCK_Q, REST]
                part = load_tokens(
                    weights, c < channels, BLOCK_D, dim, REST, DOT
                )  # [BLOCK_C, REST]
                total = tl.dot(mixed_rest, tl.trans(part), total)  # [BLOCK_Q, BLOCK_C]
            queries += dim
            weights += dim
        tl.store(out, total.to(out.dtype.element_ty), mask=mask)
        out += rows.to(tl.int64) * channels
        begin = count
