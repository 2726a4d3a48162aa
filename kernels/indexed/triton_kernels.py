"""Index-keyed random numbers in Triton, bit for bit those of the reference.

Every product and sum is rounded by itself, as the definition has it: the kernel is compiled without
contraction to fused multiply-add, and takes the correctly rounded square root.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..tiles.alignment import common_unit
from .definition import NormalArguments, UniformArguments

COUNTERS = 256
"""Philox counters of one program; each makes four numbers."""
WARPS = 4


def normal_(call: NormalArguments) -> None:
    """Fill with ``mean + std z``, z standard normal by Box and Muller."""
    _fill(call.tensor, call.key, call.std, call.mean, normal=True)


def uniform_(call: UniformArguments) -> None:
    """Fill with ``low + (high - low) u``, u a multiple of 2^-24 in [0, 1)."""
    _fill(call.tensor, call.key, call.high - call.low, call.low, normal=False)


def tile(counters: int) -> tuple[int, int]:
    """Rows and counters per row of one program, for rows of ``counters`` Philox counters."""
    columns = min(COUNTERS, triton.next_power_of_2(counters))
    return COUNTERS // columns, columns


def _fill(tensor: Tensor, key: int, scale: float, shift: float, normal: bool) -> None:
    if tensor.numel() == 0:
        return
    padding = 4 - tensor.dim()
    *outer, last = (1,) * padding + tuple(tensor.shape)
    *steps, step = (0,) * padding + tuple(tensor.stride())
    if last == 1:
        step = 1
    address, itemsize = tensor.data_ptr(), tensor.element_size()
    unit = common_unit(address, itemsize, (*steps, last)) if step == 1 else 1
    block_rows, block_columns = tile(-(-last // 4))
    column_blocks = triton.cdiv(last, 4 * block_columns)
    grid = (triton.cdiv(math.prod(outer), block_rows) * column_blocks,)
    with torch.cuda.device_of(tensor):
        _fill_kernel[grid](
            tensor,
            key,
            scale,
            shift,
            math.prod(outer),
            outer[1],
            outer[2],
            last // unit,
            *(value // unit for value in steps),
            step,
            column_blocks,
            NORMAL=normal,
            ADJACENT=step == 1,
            UNIT=unit,
            ROWS=block_rows,
            COLUMNS=block_columns,
            num_warps=WARPS,
            enable_fp_fusion=False,
        )
    if not tensor.is_inference():
        # PyTorch has not seen the write; autograd must know that saved copies are stale.
        torch.autograd.graph.increment_version(tensor)


@triton.jit(
    do_not_specialize=[
        "key",
        "rows",
        "size_1",
        "size_2",
        "last_units",
        "units_0",
        "units_1",
        "units_2",
        "step",
        "column_blocks",
    ]
)
def _fill_kernel(
    tensor,
    key: tl.int64,
    scale,
    shift,
    rows,
    size_1,
    size_2,
    last_units,
    units_0,
    units_1,
    units_2,
    step,
    column_blocks,
    NORMAL: tl.constexpr,
    ADJACENT: tl.constexpr,
    UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    program = tl.program_id(0)
    row = (program // column_blocks).to(tl.int64) * ROWS + tl.arange(0, ROWS)  # [ROWS]
    counter = (program % column_blocks).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)  # [COLUMNS]
    i2 = row % size_2
    i1 = row // size_2 % size_1
    i0 = row // size_2 // size_1

    zero = tl.zeros([ROWS, COLUMNS], tl.uint32)  # [ROWS, COLUMNS]
    w0, w1, w2, w3 = _philox(
        zero + counter.to(tl.uint32)[None, :],
        zero + i2.to(tl.uint32)[:, None],
        zero + i1.to(tl.uint32)[:, None],
        zero + i0.to(tl.uint32)[:, None],
        (key & 0xFFFFFFFF).to(tl.uint32),
        ((key >> 32) & 0xFFFFFFFF).to(tl.uint32),
    )  # [ROWS, COLUMNS]
    if NORMAL:
        v0, v1 = _box_muller(w0, w1)
        v2, v3 = _box_muller(w2, w3)
    else:
        v0, v1, v2, v3 = _uniform(w0), _uniform(w1), _uniform(w2), _uniform(w3)
    values = tl.interleave(tl.interleave(v0, v2), tl.interleave(v1, v3))  # [ROWS, 4 COLUMNS]
    values = values * scale + shift

    last = last_units.to(tl.int64) * UNIT
    j = (program % column_blocks).to(tl.int64) * (4 * COLUMNS) + tl.arange(
        0, 4 * COLUMNS
    )  # [4 COLUMNS]
    start = (i0 * units_0 + i1 * units_1 + i2 * units_2) * UNIT  # [ROWS]
    offset = start[:, None] + (j if ADJACENT else j * step)[None, :]  # [ROWS, 4 COLUMNS]
    mask = (row < rows)[:, None] & (j < last)[None, :]  # [ROWS, 4 COLUMNS]
    tl.store(tensor + offset, values.to(tensor.dtype.element_ty), mask=mask)


@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    """Philox 4x32-10 (Salmon et al., SC 2011) on uint32."""
    for _ in tl.static_range(10):
        high0 = tl.umulhi(c0, 0xD2511F53)
        high1 = tl.umulhi(c2, 0xCD9E8D57)
        low0 = tl.mul(c0, 0xD2511F53, sanitize_overflow=False)
        low1 = tl.mul(c2, 0xCD9E8D57, sanitize_overflow=False)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = tl.add(k0, 0x9E3779B9, sanitize_overflow=False)
        k1 = tl.add(k1, 0xBB67AE85, sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def _uniform(word):
    """``k 2^-24`` in [0, 1), k the upper 24 bits; exact."""
    return (word >> 8).to(tl.int32).to(tl.float32) * 5.960464477539063e-08


@triton.jit
def _box_muller(first, second):
    """Two standard normals; the first word gives the radius, the second the angle."""
    u = _uniform(first) + 2.9802322387695312e-08
    radius = tl.sqrt_rn(_log(u) * -2.0)
    cosine, sine = _turn((second >> 8).to(tl.int32))
    return radius * cosine, radius * sine


@triton.jit
def _log(u):
    """Natural logarithm of u in [2^-25, 1] (Cephes ``logf``)."""
    bits = u.to(tl.int32, bitcast=True) + (0x3F800000 - 0x3F3504F3)
    exponent = ((bits >> 23) - 127).to(tl.float32)
    f = ((bits & 0x7FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    square = f * f
    value = f * 7.0376836292e-2 + -1.1514610310e-1
    value = value * f + 1.1676998740e-1
    value = value * f + -1.2420140846e-1
    value = value * f + 1.4249322787e-1
    value = value * f + -1.6668057665e-1
    value = value * f + 2.0000714765e-1
    value = value * f + -2.4999993993e-1
    value = value * f + 3.3333331174e-1
    tail = value * f * square
    tail = tail + exponent * -2.12194440e-4
    tail = tail - square * 0.5
    return (f + tail) + exponent * 0.693359375


@triton.jit
def _turn(k):
    """Cosine and sine of 2 pi k / 2^24 for k in [0, 2^24) (Cephes ``sinf``, ``cosf``)."""
    quadrant = (k + 2097152) >> 22
    angle = (k - (quadrant << 22)).to(tl.float32) * 3.7450702829239286e-07
    square = angle * angle
    sine = square * -1.9515295891e-4 + 8.3321608736e-3
    sine = sine * square + -1.6666654611e-1
    sine = sine * square * angle + angle
    cosine = square * 2.443315711809948e-5 + -1.388731625493765e-3
    cosine = cosine * square + 4.166664568298827e-2
    cosine = cosine * square * square - square * 0.5 + 1.0
    swap = (quadrant & 1) != 0
    first = tl.where(swap, sine, cosine)
    second = tl.where(swap, cosine, sine)
    first = tl.where(((quadrant + 1) & 2) != 0, first * -1.0, first)
    second = tl.where((quadrant & 2) != 0, second * -1.0, second)
    return first, second
