"""Statistics of attention from the interpreted kernels against fp64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import self_attention_stats
from tvtfast.kernels.self_attention_stats import reference
from tvtfast.kernels.self_attention_stats import triton as backend
from tvtfast.kernels.self_attention_stats.definition import STATISTICS, Arguments
from tvtfast.kernels.self_attention_stats.definition import tolerance as attention_tolerance

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TINY = torch.finfo(torch.float32).tiny
NAMES = (*STATISTICS, "teacher_products")


def parts(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Queries and keys of a fused projection, of shape [B, H, N, D]."""
    images, heads, tokens, channels = shape
    qkv = torch.randn(images, tokens, 3, heads, channels).to(dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


def assert_stats(q: Tensor, k: Tensor, scale: float) -> None:
    images, _, tokens, channels = q.shape
    teacher = torch.randn(images, tokens)
    actual = self_attention_stats(
        q, k, scale=scale, teacher=teacher, statistics=STATISTICS, backend="triton"
    )
    wide = q.double(), k.double(), teacher.double()
    call = Arguments(*wide, scale, STATISTICS)
    exact = dict(zip(NAMES, reference.run(call), strict=True))
    extent = scale * float(wide[0].norm(dim=-1).max() * wide[1].norm(dim=-1).max())
    bound = attention_tolerance(q.dtype, channels, extent, tokens)
    units = {
        **exact,
        "row_entropy": torch.tensor(1 + math.log(tokens)),
        "teacher_products": reference.run(call._replace(teacher=wide[2].abs(), statistics=[]))[0],
    }
    for name in NAMES:
        value = getattr(actual, name)
        assert value.dtype == torch.float32
        assert ((value - exact[name]).abs() <= bound * units[name] + tokens * TINY).all(), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", (1, 7, 16, 17, 63, 64, 65, 130))
def test_numbers_of_tokens(poisoned: None, dtype: torch.dtype, tokens: int) -> None:
    assert_stats(*parts(2, 2, tokens, 20, dtype=dtype), 20**-0.5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 16, 17, 64, 80, 256))
def test_numbers_of_channels(poisoned: None, dtype: torch.dtype, channels: int) -> None:
    assert_stats(*parts(1, 3, 33, channels, dtype=dtype), channels**-0.5)


@pytest.mark.parametrize("scale", (0.0, 5.0))
def test_scales(poisoned: None, scale: float) -> None:
    """The largest score of a row moves from block to block; some weights are subnormal."""
    assert_stats(*parts(1, 1, 200, 4), scale)


def test_strides(poisoned: None) -> None:
    wide = torch.randn(2, 4, 25, 24)
    views = [
        (wide[:, :2, :20, 3:19], wide[:, 2:, 5:, 8:]),
        (wide[..., ::2], wide[..., 1::2]),
        (wide.mT.contiguous().mT, wide.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)),
        (wide[:1].expand(2, -1, -1, -1), wide[:, :1].expand(-1, 4, -1, -1)),
    ]
    for q, k in views:
        assert_stats(q, k, 0.25)


@pytest.mark.parametrize("name", STATISTICS)
def test_one_statistic_alone(poisoned: None, name: str) -> None:
    q, k = parts(2, 2, 70, 8)
    together = self_attention_stats(q, k, statistics=STATISTICS, backend="triton")
    alone = self_attention_stats(q, k, statistics=[name], backend="triton")
    assert torch.equal(getattr(alone, name), getattr(together, name))


@pytest.mark.parametrize("shape", [(0, 2, 5, 4), (2, 0, 5, 4), (2, 3, 0, 4)])
def test_nothing_to_do(shape: tuple[int, ...]) -> None:
    x = torch.ones(shape)
    actual = self_attention_stats(x, x, statistics=STATISTICS, backend="triton")
    assert actual.row_entropy.shape == shape[:3]
    assert actual.head_mean.shape == (shape[0], shape[2], shape[2])
    assert actual.head_mean.isnan().all()


def test_nans_and_certainty(poisoned: None) -> None:
    q, k = torch.randn(2, 3, 2, 70, 8).unbind(0)
    q[0, 1, 66, 2], k[1, 0, 69, 3] = torch.nan, torch.nan
    q[2], k[2] = 0, 0
    q[2, :, :, 0], k[2, :, 68, 0] = 1e3, 1e3
    actual = self_attention_stats(q, k, statistics=STATISTICS, backend="triton")
    rows = torch.zeros(3, 2, 70, dtype=torch.bool)
    rows[0, 1, 66] = rows[1, 0] = True
    heads = rows.any(-1, keepdim=True).expand_as(rows)
    assert torch.equal(actual.row_entropy.isnan(), rows)
    assert torch.equal(actual.class_row.isnan(), rows[..., :1].expand_as(rows))
    assert torch.equal(actual.column_sums.isnan(), heads)
    assert torch.equal(actual.head_mean.isnan(), rows.any(1)[..., None].expand(3, 70, 70))
    assert torch.equal(actual.row_entropy[2], torch.zeros(2, 70))
    assert torch.equal(actual.class_row[2], torch.eye(70)[68].expand(2, 70))


def test_what_is_declined() -> None:
    x = torch.ones(1, 1, 2, 257)
    (reason,) = backend.reasons(backend.Arguments(x, x, None, 1.0, []))
    assert reason == "a head has 257 channels (allowed: up to 256)"
    x = torch.ones(1, 1, 2, 4, dtype=torch.float64)
    (reason,) = backend.reasons(backend.Arguments(x, x, None, 1.0, []))
    assert reason == "q is float64 (allowed: float32, float16, bfloat16)"


def test_gradients() -> None:
    """Values of the kernels under a gradient in plain PyTorch."""
    q, k = (x.requires_grad_() for x in torch.randn(2, 2, 3, 19, 16))
    teacher = torch.randn(2, 19, requires_grad=True)
    found = []
    for name in ("triton", "reference"):
        results = self_attention_stats(q, k, teacher=teacher, statistics=STATISTICS, backend=name)
        total = sum(x.square().sum() for x in results)
        found.append(torch.autograd.grad(total, (q, k, teacher)))
    torch.testing.assert_close(*found)
