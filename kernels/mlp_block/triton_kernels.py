"""An MLP block in Triton: the hidden layer exists in tiles, and the result sums up in registers.

One program normalises a block of tokens and walks the hidden layer once. Narrower hidden layers are
its beginnings, so their results are what the sum is where they end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ..backend.triton import WIDEST_BLOCK
from ..tiles.alignment import readable, shared_unit
from ..tiles.normed import load_normed
from ..tiles.types import factor_type
from .definition import Arguments
from .triton import MOST_HIDDEN, NARROWEST_UNIT

MOST_TOKENS = 128
"""Of a program."""
STAGES = 2
WARPS = 8


@dataclass(frozen=True)
class Config:
    """Tokens of a program, channels padded to a power of two, and hidden units of a step."""

    tokens: int
    channels: int
    hidden: int


def pick(tokens: int, channels: int, unit: int) -> Config:
    """Tile of the kernel: weights are read once per program, so the more tokens the better, as far
    as sums and the addresses of weights fit into registers."""
    padded = max(16, triton.next_power_of_2(channels))
    most = MOST_TOKENS if unit > NARROWEST_UNIT or padded < WIDEST_BLOCK else 64
    return Config(min(most, max(64, triton.next_power_of_2(tokens))), padded, 64)


def write(call: Arguments) -> None:
    """Fill ``out`` ``[K, M, C]`` from rows ``[M, C]``."""
    x, w1, b1, w2, b2, hidden, eps, out = call
    rows, channels = x.shape
    if rows == 0:
        return
    lengths = (MOST_TOKENS, w1.shape[0], channels)
    x, w1, w2 = (
        readable(matrix, length, NARROWEST_UNIT)
        for matrix, length in zip((x, w1, w2), lengths, strict=True)
    )
    counts = [*(tensor.stride(0) for tensor in (x, w1, w2)), channels]
    unit = shared_unit((x, w1, w2, out), (*counts, *hidden))
    config = pick(rows, channels, unit)
    widths = [*hidden, *[hidden[-1]] * (MOST_HIDDEN - len(hidden))]
    with torch.cuda.device_of(x):
        _block_kernel[(triton.cdiv(rows, config.tokens),)](
            x,
            w1,
            w1 if b1 is None else b1.contiguous(),
            w2,
            w2 if b2 is None else b2.contiguous(),
            out,
            eps,
            rows,
            len(hidden),
            *(count // unit for count in (*counts, *widths)),
            HIDDEN_BIAS=b1 is not None,
            BIAS=b2 is not None,
            UNIT=unit,
            BLOCK_T=config.tokens,
            BLOCK_C=config.channels,
            BLOCK_H=config.hidden,
            STAGES=STAGES,
            DOT=factor_type(x.dtype),
            num_warps=WARPS,
        )


_SIZES = [
    *("eps", "rows", "results"),
    *("x_units", "w1_units", "w2_units", "channel_units"),
    *(f"width_{k}" for k in range(MOST_HIDDEN)),
]


@triton.jit(do_not_specialize=_SIZES)
def _block_kernel(
    x,
    w1,
    b1,
    w2,
    b2,
    out,
    eps,
    rows,
    results,
    x_units,
    w1_units,
    w2_units,
    channel_units,
    width_0,
    width_1,
    width_2,
    width_3,
    HIDDEN_BIAS: tl.constexpr,
    BIAS: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_H: tl.constexpr,
    STAGES: tl.constexpr,
    DOT: tl.constexpr,
):
    """``out`` ``[K, M, C]`` of one block of rows."""
    channels = channel_units * UNIT
    first = tl.program_id(0).to(tl.int64) * BLOCK_T
    i = tl.arange(0, BLOCK_T)  # [BLOCK_T]
    c = tl.arange(0, BLOCK_C)  # [BLOCK_C]
    inside = (i < rows - first)[:, None] & (c < channels)[None, :]  # [BLOCK_T, BLOCK_C]
    x += first * x_units * UNIT
    tokens = (i * x_units * UNIT)[:, None] + c[None, :]  # [BLOCK_T, BLOCK_C]
    out += first * channels
    at = (i * channels)[:, None] + c[None, :]  # [BLOCK_T, BLOCK_C]

    # On sm_90 Triton keeps an operand that was loaded in shared memory, but one that was computed
    # in registers, which the sum needs: normalised rows are stored where their results will be,
    # and loaded again.
    normed = load_normed(x + tokens, inside, c < channels, channels, eps)  # [BLOCK_T, BLOCK_C]
    tl.store(out + at, normed.to(out.dtype.element_ty), mask=inside)
    tl.debug_barrier()
    normed = tl.load(out + at, mask=inside, other=0.0).to(DOT)  # [BLOCK_T, BLOCK_C]

    total = tl.load(x + tokens, mask=inside, other=0.0).to(tl.float32)  # [BLOCK_T, BLOCK_C]
    if BIAS:
        total += tl.load(b2 + c, mask=c < channels, other=0.0).to(tl.float32)[
            None, :
        ]  # [BLOCK_T, BLOCK_C]
    begin = 0
    for k in range(0, results):
        width = tl.where(k < 2, tl.where(k == 0, width_0, width_1), width_2)
        width = tl.where(k == 3, width_3, width) * UNIT
        for start in tl.range(begin, width, BLOCK_H, num_stages=STAGES):
            h = start + tl.arange(0, BLOCK_H)  # [BLOCK_H]
            there = h < width
            place = (h * w1_units * UNIT)[:, None] + c[None, :]  # [BLOCK_H, BLOCK_C]
            mask = there[:, None] & (c < channels)[None, :]  # [BLOCK_H, BLOCK_C]
            up = tl.load(w1 + place, mask=mask, other=0.0).to(DOT)  # [BLOCK_H, BLOCK_C]
            hidden = tl.dot(normed, tl.trans(up))  # [BLOCK_T, BLOCK_H]
            if HIDDEN_BIAS:
                hidden += tl.load(b1 + h, mask=there, other=0.0).to(tl.float32)[
                    None, :
                ]  # [BLOCK_T, BLOCK_H]
            place = (c * w2_units * UNIT)[:, None] + h[None, :]  # [BLOCK_C, BLOCK_H]
            mask = (c < channels)[:, None] & there[None, :]  # [BLOCK_C, BLOCK_H]
            down = tl.load(w2 + place, mask=mask, other=0.0).to(DOT)  # [BLOCK_C, BLOCK_H]
            total = tl.dot(_gelu(hidden).to(DOT), tl.trans(down), total)  # [BLOCK_T, BLOCK_C]
        tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)
        out += rows.to(tl.int64) * channels
        begin = width


@triton.jit
def _gelu(x):
    """``max(x, 0) - t Q(t)`` with ``t = |x|``, the polynomial of ``csrc/tokenwise_vectors.h``."""
    t = tl.minimum(tl.abs(x), 6.0)
    root = t * 5.805977565387366e-08 - 1.0535883347984054e-06
    root = root * t + 4.47039610662614e-06
    root = root * t + 2.700008190004155e-05
    root = root * t - 0.00023466814309358597
    root = root * t - 0.00013454933650791645
    root = root * t + 0.0038731482345610857
    root = root * t + 0.00461819302290678
    root = root * t - 0.05019250139594078
    root = root * t - 0.1677340865135193
    root = root * t + 0.8408964276313782
    square = root * root
    positive = tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)
    return positive - t * (square * square)
