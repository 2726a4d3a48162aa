"""MLP blocks in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import mlp_block
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.mlp_block import reference as reference_block

from .tensors import need_memory, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16))
@pytest.mark.parametrize("biases", (False, True))
@pytest.mark.parametrize("rows", (1, 7, 64, 128, 129, 197, 12_608))
@pytest.mark.parametrize(
    ("channels", "hidden"),
    [
        (4, (4,)),
        (48, (144, 192)),
        (192, (672, 768)),
        (216, (756,)),
        (216, (756, 864)),
        (240, (960,)),
        (256, (64, 132, 200, 1024)),
    ],
)
def test_mlp_block(
    dtype: torch.dtype, biases: bool, rows: int, channels: int, hidden: tuple[int, ...]
) -> None:
    """Weights are parts of larger ones, as those of candidates are."""
    x = 1 + 2 * random(rows, channels, dtype=dtype)
    w1 = random(hidden[-1] + 8, channels + 8, dtype=dtype)[: hidden[-1], :channels] / 8
    w2 = random(channels, hidden[-1] + 8, dtype=dtype)[:, : hidden[-1]] / 8
    b1, b2 = (random(n, dtype=dtype) if biases else None for n in (hidden[-1], channels))
    actual = mlp_block(x, w1, b1, w2, b2, hidden=hidden, backend="triton")
    wide = [None if t is None else t.double() for t in (x, w1, b1, w2, b2)]
    extent = (wide[0].abs() / (wide[0].var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()).max()
    bound = OPERATORS["mlp_block"].tolerance(dtype, max(channels, hidden[-1]), float(extent))
    error = (actual - reference_block.forward(*wide, hidden, 1e-5)).abs()
    assert actual.dtype == dtype
    assert (error <= bound * reference_block.spread(*wide, hidden, 1e-5)).all()


def test_mlp_block_of_nans() -> None:
    x, w1, w2 = (random(*n).half() for n in ((300, 64), (256, 64), (64, 256)))
    clean = mlp_block(x, w1, None, w2, None, hidden=(100,), backend="triton")
    x[130, 5], w1[100:], w2[:, 100:] = torch.nan, torch.nan, torch.nan
    actual = mlp_block(x, w1, None, w2, None, hidden=(100, 256), backend="triton")
    assert actual[0, 130].isnan().all() and actual[1].isnan().all()
    assert torch.equal(actual[0, :130], clean[0, :130])
    assert torch.equal(actual[0, 131:], clean[0, 131:])


def test_mlp_block_beyond_32_bits() -> None:
    need_memory(24)
    x = torch.zeros(2**23 + 200, 256, dtype=torch.bfloat16, device="cuda")
    assert x.numel() > 2**31
    x[-1] = random(256).bfloat16()
    w1, w2 = random(64, 256).bfloat16(), random(256, 64).bfloat16()
    every = mlp_block(x, w1, None, w2, None, hidden=(32, 64), backend="triton")
    alone = mlp_block(x[-1:], w1, None, w2, None, hidden=(32, 64), backend="triton")
    torch.testing.assert_close(every[:, -1:], alone)
    assert not every[:, :-1].any()
