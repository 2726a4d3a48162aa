"""The attention half of a block from the interpreted kernels against fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import BackendError, attention_block
from tvtfast.kernels.attention_block import reference
from tvtfast.kernels.attention_block import triton as backend
from tvtfast.kernels.attention_block.definition import tolerance as attention_block_tolerance

pytest.importorskip("triton")

HALF = torch.float16
"""The interpreter truncates what is stored in bf16."""
EPS = 1e-6


def operands(
    *shape: int, heads: int = 3, dim: int = 8, biases: bool = True
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor | None]:
    channels, inner = shape[-1], heads * dim
    x, w_qkv, b_qkv, w_proj, b_proj = (
        torch.randn(size)
        for size in (shape, (3 * inner, channels), (3 * inner,), (channels, inner), (channels,))
    )
    every = (1 + 2 * x, w_qkv / channels**0.5, b_qkv, w_proj / inner**0.5, b_proj)
    made = tuple(tensor.to(HALF) for tensor in every)
    return made if biases else (made[0], made[1], None, made[3], None)


def assert_block(arguments: tuple[Tensor | None, ...], heads: tuple[int, ...]) -> Tensor:
    given = {"num_heads": heads[-1], "heads": heads, "eps": EPS}
    actual = attention_block(*arguments, **given, backend="triton")
    wide = [None if tensor is None else tensor.double() for tensor in arguments]
    exact = attention_block(*wide, **given, backend="reference")
    spread, logits, slope = reference.terms(*wide, heads, EPS)
    x = wide[0]
    extent = (x.abs() / (x.var(dim=-1, correction=0, keepdim=True) + EPS).sqrt()).max()
    length = max(*x.shape[1:], wide[3].shape[1])
    bound = attention_block_tolerance(HALF, length, float(extent), logits, slope)
    assert actual.dtype == HALF
    assert ((actual - exact).abs() <= bound * spread).all()
    # sharper: PyTorch's operators round the same values, one by one
    plain = attention_block(*arguments, **given, backend="reference")
    assert (actual - exact).norm() <= 2 * (plain - exact).norm()
    return actual


@pytest.mark.parametrize("tokens", (1, 7, 31, 32, 33, 63, 64, 65, 130, 197))
@pytest.mark.parametrize("biases", (False, True))
def test_numbers_of_tokens(poisoned: None, tokens: int, biases: bool) -> None:
    assert_block(operands(2, tokens, 24, biases=biases), (2, 3))


@pytest.mark.parametrize("channels", (2, 16, 46, 128, 192, 216, 240, 256))
def test_numbers_of_channels(poisoned: None, channels: int) -> None:
    assert_block(operands(2, 9, channels), (3,))


@pytest.mark.parametrize("dim", (2, 8, 16, 54, 60, 64, 66, 72, 80))
def test_channels_of_a_head(poisoned: None, dim: int) -> None:
    """Around those that are multiplied at once; 54, 60, 72 and 80 are AutoFormer's."""
    assert_block(operands(1, 40, 24, heads=2, dim=dim), (1, 2))


@pytest.mark.parametrize("heads", [(1,), (6,), (2, 5), (1, 2, 3), (1, 2, 3, 6)])
def test_numbers_of_heads(poisoned: None, heads: tuple[int, ...]) -> None:
    assert_block(operands(3, 10, 32, heads=heads[-1]), heads)


def test_first_heads_of_more() -> None:
    """Neither their company nor the heads that the weights hold beside them matter."""
    arguments = operands(2, 50, 40, heads=4)
    together = assert_block(arguments, (1, 3, 4))
    for k, count in enumerate((1, 3, 4)):
        alone = attention_block(*arguments, num_heads=4, heads=(count,), eps=EPS, backend="triton")
        assert torch.equal(alone[0], together[k])
    whole = attention_block(*arguments, num_heads=4, eps=EPS, backend="triton")
    assert whole.shape == (2, 50, 40) and torch.equal(whole, together[2])


def test_images_do_not_depend_on_their_company() -> None:
    arguments = operands(5, 33, 24)
    together = attention_block(*arguments, num_heads=3, backend="triton")
    for image in range(5):
        alone = attention_block(arguments[0][image], *arguments[1:], num_heads=3, backend="triton")
        assert torch.equal(alone, together[image])


def test_strides(poisoned: None) -> None:
    x, w_qkv, b_qkv, w_proj, b_proj = operands(3, 20, 24)
    wide = torch.full((5, 30, 40), torch.nan).to(HALF)
    wide[1:4, 2:22, 8:32] = x
    loose = torch.full((80, 60), torch.nan).to(HALF)
    loose[:72, 3:27] = w_qkv
    padded = torch.full((32, 40), torch.nan).to(HALF)
    padded[4:28, 4:28] = w_proj
    for views in (
        (wide[1:4, 2:22, 8:32], loose[:72, 3:27], b_qkv, padded[4:28, 4:28], b_proj),
        (x.mT.contiguous().mT, w_qkv.t().contiguous().t(), b_qkv, w_proj, b_proj),
        (x.transpose(0, 1), w_qkv, b_qkv[:1].expand(72), w_proj.t().contiguous().t(), b_proj),
        (x.repeat_interleave(2, dim=-1)[..., ::2], w_qkv, b_qkv, w_proj, b_proj),
        (x[:1].expand(3, 20, 24), w_qkv, b_qkv, w_proj, b_proj[:1].expand(24)),
    ):
        assert_block(views, (1, 3))


def test_a_result_in_place_of_a_new_one() -> None:
    arguments = operands(2, 65, 24)
    buffer = torch.full((4, 2, 65, 24), 123.0).to(HALF)
    out = buffer[1:3]
    given = {"num_heads": 3, "heads": (2, 3), "eps": EPS, "backend": "triton"}
    assert attention_block(*arguments, out=out, **given) is out
    assert torch.equal(out, assert_block(arguments, (2, 3)))
    assert (buffer[0] == 123).all() and (buffer[3] == 123).all()


def test_no_tokens() -> None:
    for shape in ((0, 5, 24), (2, 0, 24)):
        arguments = operands(*shape)
        actual = attention_block(*arguments, num_heads=3, heads=(1, 3), backend="triton")
        assert actual.shape == (2, *shape)


def test_nans_stay_in_their_image() -> None:
    arguments = operands(4, 40, 24)
    clean = attention_block(*arguments, num_heads=3, backend="triton")
    for image, value in ((0, torch.nan), (2, torch.inf)):
        arguments[0][image, 35, 5] = value
    actual = attention_block(*arguments, num_heads=3, backend="triton")
    assert actual[::2].isnan().all() and torch.equal(actual[1::2], clean[1::2])


def test_later_heads_do_not_reach_earlier_results() -> None:
    x, w_qkv, b_qkv, w_proj, b_proj = operands(2, 20, 24)
    given = {"num_heads": 3, "backend": "triton"}
    clean = attention_block(x, w_qkv, b_qkv, w_proj, b_proj, heads=(2,), **given)
    w_qkv.unflatten(0, (3, 3, 8))[:, 2] = torch.nan
    w_proj[:, 16:] = torch.nan
    actual = attention_block(x, w_qkv, b_qkv, w_proj, b_proj, heads=(2, 3), **given)
    assert torch.equal(actual[:1], clean) and actual[1].isnan().all()


def test_large_logits_and_means() -> None:
    """A maximum that grows from step to step, and softmax close to one-hot."""
    x, w_qkv, b_qkv, w_proj, b_proj = operands(1, 100, 24)
    x = x * torch.linspace(0.1, 3, 100)[:, None].half() + 30
    assert_block((x, 6 * w_qkv, b_qkv, w_proj, b_proj), (3,))


def test_what_is_declined() -> None:
    def reasons(x: Tensor, dim: int, heads: tuple[int, ...]) -> tuple[str, ...]:
        w_proj = x.new_ones(x.shape[-1], heads[-1] * dim)
        return backend.reasons(backend.Arguments(x, x, None, w_proj, None, heads, EPS, x))

    x = torch.ones(1, 2, 256, dtype=HALF)
    assert reasons(x, 80, (1, 2, 3, 4)) == ()
    assert reasons(x.float(), 4, (2,)) == ("x is float32 (allowed: float16, bfloat16)",)
    assert reasons(x.new_ones(1, 2, 258), 4, (2,)) == ("x has 258 channels (allowed: up to 256)",)
    assert reasons(x, 82, (2,)) == ("a head has 82 channels (allowed: up to 80)",)
    assert reasons(x, 7, (2,)) == ("256 channels and 7 of a head are not both even",)
    assert reasons(x, 4, (1, 2, 3, 4, 5)) == ("heads has 5 numbers (allowed: up to 4)",)
    with pytest.raises(BackendError, match="x is float64"):
        wide = torch.ones(1, 4, 4).double()
        attention_block(
            wide, wide.new_ones(12, 4), None, wide[0], None, num_heads=1, backend="triton"
        )
