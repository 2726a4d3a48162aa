"""Statistics of self-attention in Triton: weights live in registers, tile by tile.

The first launch walks the keys once per block of queries with a running maximum: log-sum-exp,
entropy and teacher products of every row. Later ones form the weights again from it, for what sums
over queries (a block of keys resident, queries in order) or over heads. Exponents are of base 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles.alignment import shared_unit
from ..tiles.heads import LOG2_E, load_tokens
from ..tiles.types import factor_type
from .definition import Arguments

LN_2 = tl.constexpr(0.6931471805599453)
NO_WEIGHT = tl.constexpr(-1024.0)


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
    """Tile of every kernel.

    Queries (or keys) in half precision stay in registers; in fp32 every factor is two, and both
    are read again in steps.
    """
    padded = max(16, triton.next_power_of_2(channels))
    block = min(64 if padded <= 128 else 32, max(16, triton.next_power_of_2(tokens)))
    return Config(block, block, padded, padded if itemsize == 2 else 16, 4 if block > 16 else 2)


def stats(call: Arguments) -> list[Tensor]:
    """The statistics asked for, in their order, then the teacher products."""
    teacher, statistics = call.teacher, call.statistics
    q, k = (t if t.stride(3) == 1 else t.contiguous() for t in (call.q, call.k))
    images, heads, tokens, channels = q.shape
    per_head = ("class_row", "column_sums", "row_entropy")
    results = {name: _empty(q, images, heads, tokens) for name in per_head if name in statistics}
    if "head_mean" in statistics:
        results["head_mean"] = _empty(q, images, tokens, tokens)
    order = list(statistics)
    if teacher is not None:
        results["teacher_products"] = _empty(q, images, heads, tokens)
        order.append("teacher_products")
    if images and heads and tokens:
        with torch.cuda.device_of(q):
            _launch(q, k, teacher, call.scale, results)
    elif "head_mean" in results:
        results["head_mean"].fill_(torch.nan)
    return [results[name] for name in order]


def _empty(q: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, device=q.device, dtype=torch.float32)


def _launch(
    q: Tensor, k: Tensor, teacher: Tensor | None, scale: float, results: dict[str, Tensor]
) -> None:
    images, heads, tokens, channels = q.shape
    config = pick(tokens, channels, q.element_size())
    logsum = _empty(q, images, heads, tokens)
    tile = {
        "scale": scale * LOG2_E,
        "heads": heads,
        "tokens": tokens,
        "BLOCK_Q": config.queries,
        "BLOCK_K": config.keys,
        "BLOCK_D": config.channels,
        "STEP": config.step,
        "DOT": factor_type(q.dtype),
        "num_warps": config.warps,
        **_layout(q, k),
    }
    query_blocks, key_blocks = (triton.cdiv(tokens, n) for n in (config.queries, config.keys))
    # The class row alone needs the log-sum-exp of one query.
    whole = results.keys() != {"class_row"}
    _row_kernel[(images * heads, query_blocks if whole else 1)](
        q,
        k,
        logsum if teacher is None else teacher.to(torch.float32).contiguous(),
        logsum,
        results.get("row_entropy", logsum),
        results.get("teacher_products", logsum),
        ENTROPY="row_entropy" in results,
        TEACHER=teacher is not None,
        **tile,
    )
    if "class_row" in results or "column_sums" in results:
        _column_kernel[(images * heads, key_blocks)](
            q,
            k,
            logsum,
            results.get("class_row", logsum),
            results.get("column_sums", logsum),
            CLASS="class_row" in results,
            SUMS="column_sums" in results,
            **tile,
        )
    if "head_mean" in results:
        _mean_kernel[(images, query_blocks, key_blocks)](
            q, k, logsum, results["head_mean"], 1 / heads, **tile
        )


def _layout(q: Tensor, k: Tensor) -> dict[str, Any]:
    """Strides of queries and keys, counted in ``UNIT`` elements, as are the channels."""
    strides = [
        0 if size == 1 else stride
        for t in (q, k)
        for size, stride in zip(t.shape[:3], t.stride()[:3], strict=True)
    ]
    counts = [*strides, q.shape[3]]
    unit = shared_unit((q, k), counts)
    return {**dict(zip(_UNITS, (n // unit for n in counts), strict=True)), "UNIT": unit}


_UNITS = [
    *("q_image_units", "q_head_units", "q_token_units"),
    *("k_image_units", "k_head_units", "k_token_units"),
    "channel_units",
]
_SIZES = ["heads", "tokens", *_UNITS]


@triton.jit(do_not_specialize=_SIZES)
def _row_kernel(
    q,
    k,
    teacher,
    logsum,
    entropy,
    products,
    scale,
    heads,
    tokens,
    q_image_units,
    q_head_units,
    q_token_units,
    k_image_units,
    k_head_units,
    k_token_units,
    channel_units,
    ENTROPY: tl.constexpr,
    TEACHER: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
):
    """Base-2 log-sum-exp of every row, its entropy and its product with the teacher."""
    pair = tl.program_id(0).to(tl.int64)
    image, head = pair // heads, pair % heads
    q += (image * q_image_units + head * q_head_units) * UNIT
    k += (image * k_image_units + head * k_head_units) * UNIT
    channels = channel_units * UNIT
    i = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
    queries = q + i.to(tl.int64) * q_token_units * UNIT  # [BLOCK_Q]
    resident = load_tokens(queries, i < tokens, 0, channels, BLOCK_D, DOT)  # [BLOCK_Q, BLOCK_D]

    largest = tl.full([BLOCK_Q], float("-inf"), tl.float32)  # [BLOCK_Q]
    total = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
    weighted = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
    product = tl.zeros([BLOCK_Q], tl.float32)  # [BLOCK_Q]
    for begin in range(0, tokens, BLOCK_K):
        j = begin + tl.arange(0, BLOCK_K)  # [BLOCK_K]
        keys = k + j.to(tl.int64) * k_token_units * UNIT  # [BLOCK_K]
        score = _scores(
            resident, queries, i < tokens, keys, j < tokens, channels, scale, BLOCK_D, STEP, DOT
        )  # [BLOCK_Q, BLOCK_K]
        score = tl.where((j < tokens)[None, :], score, float("-inf"))
        before = largest
        largest = tl.maximum(before, tl.max(score, 1))
        # Nothing has been added before the first block, so nothing is shifted.
        shift = tl.where(before == float("-inf"), 0.0, before - largest)
        decay = tl.exp2(shift)
        score -= largest[:, None]
        weight = tl.exp2(score)  # [BLOCK_Q, BLOCK_K]
        if ENTROPY:
            # A weight of 0 counts as 0, although its logarithm is infinite.
            terms = weight * tl.maximum(score, NO_WEIGHT)  # [BLOCK_Q, BLOCK_K]
            weighted = (weighted + total * shift) * decay + tl.sum(terms, 1)
        total = total * decay + tl.sum(weight, 1)
        if TEACHER:
            t = tl.load(teacher + image * tokens + j, mask=j < tokens, other=0.0)  # [BLOCK_K]
            product = product * decay + tl.sum(weight * t[None, :], 1)

    at = pair * tokens + i  # [BLOCK_Q]
    bits = tl.log2(total)  # [BLOCK_Q]
    tl.store(logsum + at, largest + bits, mask=i < tokens)
    if ENTROPY:
        tl.store(entropy + at, (bits - weighted / total) * LN_2, mask=i < tokens)
    if TEACHER:
        tl.store(products + at, product / total, mask=i < tokens)


@triton.jit(do_not_specialize=_SIZES)
def _column_kernel(
    q,
    k,
    logsum,
    class_row,
    column_sums,
    scale,
    heads,
    tokens,
    q_image_units,
    q_head_units,
    q_token_units,
    k_image_units,
    k_head_units,
    k_token_units,
    channel_units,
    CLASS: tl.constexpr,
    SUMS: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
):
    """Weights of the first query, and sums over all queries, for a block of keys."""
    pair = tl.program_id(0).to(tl.int64)
    image, head = pair // heads, pair % heads
    q += (image * q_image_units + head * q_head_units) * UNIT
    k += (image * k_image_units + head * k_head_units) * UNIT
    logsum += pair * tokens
    channels = channel_units * UNIT
    j = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)  # [BLOCK_K]
    at = pair * tokens + j  # [BLOCK_K]
    keys = k + j.to(tl.int64) * k_token_units * UNIT  # [BLOCK_K]
    resident = load_tokens(keys, j < tokens, 0, channels, BLOCK_D, DOT)  # [BLOCK_K, BLOCK_D]

    if CLASS:
        i = tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
        queries = q + i.to(tl.int64) * q_token_units * UNIT  # [BLOCK_Q]
        score = _scores(
            resident, keys, j < tokens, queries, i < 1, channels, scale, BLOCK_D, STEP, DOT
        )  # [BLOCK_K, BLOCK_Q]
        offset = tl.load(logsum + i, mask=i < 1, other=float("inf"))  # [BLOCK_Q]
        weight = tl.exp2(score - offset[None, :])  # [BLOCK_K, BLOCK_Q]
        first = tl.sum(tl.where((i < 1)[None, :], weight, 0.0), 1)  # [BLOCK_K]
        tl.store(class_row + at, first, mask=j < tokens)
    if SUMS:
        sums = tl.zeros([BLOCK_K, BLOCK_Q], tl.float32)  # [BLOCK_K, BLOCK_Q]
        for begin in range(0, tokens, BLOCK_Q):
            i = begin + tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
            queries = q + i.to(tl.int64) * q_token_units * UNIT  # [BLOCK_Q]
            score = _scores(
                resident, keys, j < tokens, queries, i < tokens, channels, scale, BLOCK_D, STEP, DOT
            )  # [BLOCK_K, BLOCK_Q]
            # Queries beyond the last get weights of 0.
            offset = tl.load(logsum + i, mask=i < tokens, other=float("inf"))  # [BLOCK_Q]
            sums += tl.exp2(score - offset[None, :])
        tl.store(column_sums + at, tl.sum(sums, 1), mask=j < tokens)


@triton.jit(do_not_specialize=_SIZES)
def _mean_kernel(
    q,
    k,
    logsum,
    head_mean,
    share,
    scale,
    heads,
    tokens,
    q_image_units,
    q_head_units,
    q_token_units,
    k_image_units,
    k_head_units,
    k_token_units,
    channel_units,
    UNIT: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
):
    """Mean over heads of one tile of the weights."""
    image = tl.program_id(0).to(tl.int64)
    i = tl.program_id(1) * BLOCK_Q + tl.arange(0, BLOCK_Q)  # [BLOCK_Q]
    j = tl.program_id(2) * BLOCK_K + tl.arange(0, BLOCK_K)  # [BLOCK_K]
    queries = q + (image * q_image_units + i.to(tl.int64) * q_token_units) * UNIT  # [BLOCK_Q]
    keys = k + (image * k_image_units + j.to(tl.int64) * k_token_units) * UNIT  # [BLOCK_K]
    channels = channel_units * UNIT
    logsum += image * heads * tokens + i  # [BLOCK_Q]
    sums = tl.zeros([BLOCK_Q, BLOCK_K], tl.float32)  # [BLOCK_Q, BLOCK_K]
    for _ in range(0, heads):
        resident = load_tokens(queries, i < tokens, 0, channels, BLOCK_D, DOT)  # [BLOCK_Q, BLOCK_D]
        score = _scores(
            resident, queries, i < tokens, keys, j < tokens, channels, scale, BLOCK_D, STEP, DOT
        )  # [BLOCK_Q, BLOCK_K]
        offset = tl.load(logsum, mask=i < tokens, other=float("inf"))  # [BLOCK_Q]
        sums += tl.exp2(score - offset[:, None])
        queries += q_head_units.to(tl.int64) * UNIT
        keys += k_head_units.to(tl.int64) * UNIT
        logsum += tokens
    at = (image * tokens + i)[:, None] * tokens + j[None, :]  # [BLOCK_Q, BLOCK_K]
    tl.store(head_mean + at, sums * share, mask=(i < tokens)[:, None] & (j < tokens)[None, :])


@triton.jit
def _scores(
    resident,
    rows,
    row_inside,
    columns,
    column_inside,
    channels,
    scale,
    BLOCK_D: tl.constexpr,
    STEP: tl.constexpr,
    DOT: tl.constexpr,
):
    """Scaled products ``[rows, columns]`` of tokens; ``resident`` are all channels of the rows."""
    if STEP == BLOCK_D:
        other = load_tokens(columns, column_inside, 0, channels, STEP, DOT)  # [columns, STEP]
        score = tl.dot(resident, tl.trans(other), input_precision="tf32x3")  # [rows, columns]
        return score * scale
    score = tl.zeros([row_inside.shape[0], column_inside.shape[0]], tl.float32)  # [rows, columns]
    for begin in range(0, BLOCK_D, STEP):
        one = load_tokens(rows, row_inside, begin, channels, STEP, DOT)  # [rows, STEP]
        other = load_tokens(columns, column_inside, begin, channels, STEP, DOT)  # [columns, STEP]
        score = tl.dot(one, tl.trans(other), score, input_precision="tf32x3")  # [rows, columns]
    return score * scale
