"""Index-keyed random numbers in plain PyTorch.

Every floating-point step is one correctly rounded fp32 operation (+, -, *, sqrt) in a fixed order,
which is what lets other backends return the same bits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .definition import NormalArguments, UniformArguments

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_LN2_HIGH = 0.693359375
_LN2_LOW = -2.12194440e-4
_SQRT_HALF_BITS = 0x3F3504F3
_ONE_BITS = 0x3F800000
_SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_TURN = 2 * math.pi / 2**24


def normal_(call: NormalArguments) -> None:
    """Fill with ``mean + std z``, z standard normal by Box and Muller."""
    words = _words(call.tensor, call.key)
    lanes: list[Tensor] = []
    for first, second in (words[:2], words[2:]):
        lanes += box_muller(first, second)
    _store(call.tensor, lanes, call.std, call.mean)


def uniform_(call: UniformArguments) -> None:
    """Fill with ``low + (high - low) u``, u a multiple of 2^-24 in [0, 1)."""
    lanes = [(word >> 8).to(torch.float32) * 2**-24 for word in _words(call.tensor, call.key)]
    _store(call.tensor, lanes, call.high - call.low, call.low)


def philox(counter: list[Tensor], key: int) -> list[Tensor]:
    """Philox 4x32-10 (Salmon et al., SC 2011).

    Args:
        counter: Four int64 tensors of one shape that hold 32-bit words, word 0 first.
        key: 64 bits; the low half is key word 0.

    Returns:
        Four tensors of output words, in the form of the counter.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key & _LOW, (key >> 32) & _LOW
    for _ in range(_ROUNDS):
        # The product of two 32-bit words may exceed 2^63; its bits are right in two's complement.
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, high1 = (product0 >> 32) & _LOW, (product1 >> 32) & _LOW
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, product1 & _LOW, high0 ^ c3 ^ k1, product0 & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    return [c0, c1, c2, c3]


def box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normals from two 32-bit words.

    The first gives the radius, the second the angle. ``u = k 2^-24 + 2^-25`` with k the upper 24
    bits, so ``|z| <= sqrt(-2 ln 2^-25) < 5.89``.
    """
    u = (first >> 8).to(torch.float32) * 2**-24 + 2**-25
    # PyTorch's fp32 sqrt may be off by one unit in the last place (MKL); through fp64 it is
    # correctly rounded, as no square root of a 24-bit number lies within 2^-50 of a midpoint.
    radius = (_log(u) * -2.0).to(torch.float64).sqrt().to(torch.float32)
    cosine, sine = _turn(second >> 8)
    return radius * cosine, radius * sine


def _log(u: Tensor) -> Tensor:
    """Natural logarithm of u in [2^-25, 1] (Cephes ``logf``)."""
    bits = u.view(torch.int32) + (_ONE_BITS - _SQRT_HALF_BITS)
    exponent = ((bits >> 23) - 127).to(torch.float32)
    f = ((bits & 0x7FFFFF) + _SQRT_HALF_BITS).view(torch.float32) - 1.0
    square = f * f
    tail = _horner(_LOG, f) * f * square
    tail = tail + exponent * _LN2_LOW
    tail = tail - square * 0.5
    return (f + tail) + exponent * _LN2_HIGH


def _turn(k: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi k / 2^24 for k in [0, 2^24) (Cephes ``sinf``, ``cosf``)."""
    quadrant = (k + 2**21) >> 22
    angle = (k - (quadrant << 22)).to(torch.float32) * _TURN
    square = angle * angle
    sine = _horner(_SIN, square) * square * angle + angle
    cosine = _horner(_COS, square) * square * square - square * 0.5 + 1.0
    swap = (quadrant & 1).bool()
    first, second = torch.where(swap, sine, cosine), torch.where(swap, cosine, sine)
    flip_first = ((quadrant + 1) & 2).bool()
    flip_second = (quadrant & 2).bool()
    return torch.where(flip_first, -first, first), torch.where(flip_second, -second, second)


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value


def _words(tensor: Tensor, key: int) -> list[Tensor]:
    """Philox output for every block of four neighbours: four tensors ``[rows, blocks]``."""
    *outer, last = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    blocks = -(-last // 4)
    ranges = [torch.arange(n, dtype=torch.int64, device=tensor.device) for n in (*outer, blocks)]
    i0, i1, i2, block = torch.meshgrid(*ranges, indexing="ij")
    words = philox([block, i2, i1, i0], key)
    return [word.reshape(math.prod(outer), blocks) for word in words]


def _store(tensor: Tensor, lanes: list[Tensor], scale: float, shift: float) -> None:
    values = torch.stack(lanes, dim=-1).flatten(1)
    last = tensor.shape[-1] if tensor.dim() else 1
    tensor.copy_((values[:, :last] * scale + shift).reshape(tensor.shape))
