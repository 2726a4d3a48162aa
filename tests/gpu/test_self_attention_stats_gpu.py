"""Statistics of attention in Triton on a real device, against fp64 on that device."""

from __future__ import annotations

import pytest
import torch

from tvtfast.kernels import self_attention_stats
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.self_attention_stats import reference as reference_attention
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.kernels.self_attention_stats.definition import tolerance as attention_tolerance

from .tensors import DTYPES, need_memory, queries_and_keys, random

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("triton_device")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 4, 16, 48, 64, 65, 80, 256))
@pytest.mark.parametrize("tokens", (1, 7, 50, 63, 64, 65, 197, 577))
def test_self_attention_stats(dtype: torch.dtype, channels: int, tokens: int) -> None:
    q, k = queries_and_keys(3, 5, tokens, channels, dtype)
    teacher, scale = random(3, tokens), channels**-0.5
    actual = self_attention_stats(q, k, teacher=teacher, statistics=STATISTICS, backend="triton")
    wide = q.double(), k.double(), teacher.double()
    names = (*STATISTICS, "teacher_products")
    call = OPERATORS["self_attention_stats"].call(*wide, scale, STATISTICS)
    exact = dict(zip(names, reference_attention.run(call), strict=True))
    extent = scale * float(wide[0].norm(dim=-1).max() * wide[1].norm(dim=-1).max())
    bound = attention_tolerance(dtype, channels, extent, tokens)
    units = {
        **exact,
        "row_entropy": 1 + wide[2].new_tensor(tokens).log(),
        "teacher_products": reference_attention.run(
            call._replace(teacher=wide[2].abs(), statistics=[])
        )[0],
    }
    for name in names:
        error = (getattr(actual, name) - exact[name]).abs()
        assert (error <= bound * units[name] + tokens * 1e-37).all(), name


def test_self_attention_stats_of_nans_and_strides() -> None:
    q, k = random(2, 3, 2, 70, 24).unbind(0)
    q[0, 1, 66, 2], k[1, 0, 69, 3] = torch.nan, torch.nan
    expected = self_attention_stats(q, k, statistics=STATISTICS, backend="reference")
    for one, other in (
        (q, k),
        (q.mT.contiguous().mT, k.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)),
    ):
        actual = self_attention_stats(one, other, statistics=STATISTICS, backend="triton")
        for value, exact in zip(actual[:4], expected[:4], strict=True):
            torch.testing.assert_close(value, exact, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_self_attention_stats_hold_no_map() -> None:
    q, k = queries_and_keys(64, 3, 197, 64, torch.bfloat16)
    self_attention_stats(q, k, backend="triton")
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    self_attention_stats(q, k, backend="triton")
    used = torch.cuda.max_memory_allocated() - before
    assert used < 64 * 3 * 197 * 197 * q.element_size() / 10


def test_self_attention_stats_beyond_32_bits() -> None:
    need_memory(16)
    images = 60_000
    qkv = torch.zeros(images, 65, 3, 3, 64, dtype=torch.bfloat16, device="cuda")
    assert qkv.numel() > 2**31
    qkv[-1] = random(65, 3, 3, 64).bfloat16()
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    every = self_attention_stats(q, k, backend="triton")
    alone = self_attention_stats(q[-1:], k[-1:], backend="triton")
    for value, last in zip(every[:3], alone[:3], strict=True):
        assert torch.equal(value[-1:], last)
