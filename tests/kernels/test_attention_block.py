"""attention_block against its formula in fp64, the operators it is made of, and PyTorch's eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast.kernels import BackendError, attention_block, linear, packed_attention
from tvtfast.kernels.attention_block import native as native_attention_block
from tvtfast.kernels.attention_block import reference
from tvtfast.kernels.backend.native import DTYPE_CODES, missing
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.linear import native as native_linear
from tvtfast.kernels.packed_attention import native as native_attention

DTYPES = tuple(DTYPE_CODES)
EPS = 1e-6
GUARD = 64


def operands(
    *shape: int,
    heads: int = 3,
    dim: int = 5,
    biases: bool = True,
    dtype: torch.dtype = torch.float32,
) -> list[Any]:
    """x, w_qkv, b_qkv, w_proj and b_proj, of products about as large as their factors."""
    channels, inner = shape[-1], heads * dim
    x, w_qkv, b_qkv, w_proj, b_proj = (
        torch.randn(size)
        for size in (shape, (3 * inner, channels), (3 * inner,), (channels, inner), (channels,))
    )
    every = [x, w_qkv / channels**0.5, b_qkv, w_proj / inner**0.5, b_proj]
    made = [tensor.to(dtype) for tensor in every]
    return made if biases else [made[0], made[1], None, made[3], None]


def formula(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    num_heads: int = 3,
    first: int | None = None,
) -> Tensor:
    """Head by head, as a pre-norm transformer states it."""
    centred = x - x.mean(dim=-1, keepdim=True)
    normed = centred * (centred.square().mean(dim=-1, keepdim=True) + EPS).rsqrt()
    dim = len(w_qkv) // (3 * num_heads)
    queries, keys, values = F.linear(normed, w_qkv, b_qkv).split(num_heads * dim, dim=-1)
    result = x if b_proj is None else x + b_proj
    for head in range(num_heads if first is None else first):
        own = slice(head * dim, (head + 1) * dim)
        logits = queries[..., own] @ keys[..., own].transpose(-2, -1) / dim**0.5
        mixed = logits.softmax(dim=-1) @ values[..., own]
        result = result + mixed @ w_proj[:, own].transpose(0, 1)
    return result


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("biases", (False, True))
@pytest.mark.parametrize(
    ("shape", "heads", "dim"),
    [
        ((1, 1, 1), 1, 1),
        ((2, 1, 24), 3, 16),
        ((1, 17, 33), 2, 9),
        ((3, 50, 65), 4, 20),
        ((2, 197, 240), 4, 64),
    ],
)
def test_formula(
    backend: str,
    dtype: torch.dtype,
    biases: bool,
    shape: tuple[int, int, int],
    heads: int,
    dim: int,
) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    arguments = operands(*shape, heads=heads, dim=dim, biases=biases, dtype=dtype)
    counts = list(range(1, heads + 1))
    given = {"num_heads": heads, "eps": EPS, "backend": backend}
    actual = attention_block(*arguments, heads=counts, **given)
    assert actual.dtype == dtype and actual.shape == (heads, *shape)
    wide = [None if tensor is None else tensor.double() for tensor in arguments]
    spread, logits, slope = reference.terms(*wide, counts, EPS)
    x = wide[0]
    extent = (x.abs() / (x.var(dim=-1, correction=0, keepdim=True) + EPS).sqrt()).max()
    length = max(*shape[1:], heads * dim)
    bound = OPERATORS["attention_block"].tolerance(dtype, length, float(extent), logits, slope)
    for result, unit, count in zip(actual, spread, counts, strict=True):
        error = (result - formula(*wide, heads, count)).abs()
        assert (error <= bound * unit).all(), (error / (bound * unit)).max()
    place = torch.full_like(arguments[0], torch.nan)
    alone = attention_block(*arguments, out=place, **given)
    assert alone is place
    assert torch.equal(alone, actual[-1])


def one_after_the_other(
    x: Tensor,
    w_qkv: Tensor,
    b_qkv: Tensor | None,
    w_proj: Tensor,
    b_proj: Tensor | None,
    heads: list[int],
    name: str,
) -> Tensor:
    """The operators that it is made of."""
    dim = w_proj.shape[1] // heads[-1]
    rows, every = x.flatten(0, 1), {"instruction_set": name}
    qkv = x.new_full((len(rows), len(w_qkv)), torch.nan)
    native_linear.run(native_linear.Arguments(qkv, rows, w_qkv, b_qkv, None, EPS, False), **every)
    qkv = qkv.unflatten(0, x.shape[:2])
    mixed = native_attention.run(
        native_attention.Arguments(qkv, heads[-1], dim**-0.5), **every
    ).flatten(0, 1)
    results = x.new_full((len(heads), *x.shape), torch.nan)
    for count, result in zip(heads, results.flatten(1, 2).unbind(0), strict=True):
        own = slice(count * dim)
        native_linear.run(
            native_linear.Arguments(
                result, mixed[:, own], w_proj[:, own], b_proj, rows, None, False
            ),
            **every,
        )
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "heads", "dim"),
    [
        ((1, 1, 1), 1, 1),
        ((2, 1, 24), 3, 16),
        ((7, 5, 31), 2, 7),
        ((3, 65, 65), 3, 24),
        ((20, 49, 48), 2, 40),  # several images at once, the last of them alone or in twos
        ((4, 197, 240), 4, 64),
    ],
)
def test_native_is_the_operators_to_the_bit(
    instruction_set: str,
    dtype: torch.dtype,
    shape: tuple[int, int, int],
    heads: int,
    dim: int,
    threads: None,
) -> None:
    for biases in (False, True):
        arguments = operands(*shape, heads=heads, dim=dim, biases=biases, dtype=dtype)
        counts = list(range(1, heads + 1))
        exact = one_after_the_other(*arguments, counts, instruction_set)
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = torch.full_like(exact, torch.nan)
            native_attention_block.run(
                native_attention_block.Arguments(*arguments, counts, EPS, out),
                instruction_set=instruction_set,
            )
            assert torch.equal(out, exact), count


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_properties(data: st.DataObject) -> None:
    """An image is computed alike in any company, and first heads beside any others."""
    if missing():
        pytest.skip(missing()[0])
    images, tokens, channels, heads, dim = (
        data.draw(st.integers(1, most)) for most in (4, 40, 50, 4, 20)
    )
    dtype = data.draw(st.sampled_from(DTYPES))
    first, image = data.draw(st.integers(1, heads)), data.draw(st.integers(0, images - 1))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    arguments = operands(images, tokens, channels, heads=heads, dim=dim, dtype=dtype)
    together = attention_block(
        *arguments, num_heads=heads, heads=range(1, heads + 1), backend="native"
    )
    arguments[0] = arguments[0][image : image + 1]
    alone = attention_block(*arguments, num_heads=heads, heads=(first,), backend="native")
    assert torch.equal(alone, together[first - 1 : first, image : image + 1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_public_operators_one_after_the_other(native: str, dtype: torch.dtype) -> None:
    x, w_qkv, b_qkv, w_proj, b_proj = operands(3, 17, 40, dtype=dtype)
    qkv = linear(x, w_qkv, b_qkv, norm_eps=EPS)
    exact = linear(packed_attention(qkv, 3), w_proj, b_proj, residual=x)
    assert torch.equal(
        attention_block(x, w_qkv, b_qkv, w_proj, b_proj, num_heads=3, eps=EPS), exact
    )


def test_strides_and_leading_dimensions(backend: str) -> None:
    arguments = operands(2, 3, 6, 24)
    exact = attention_block(*arguments, num_heads=3, backend=backend)
    assert exact.shape == (2, 3, 6, 24)
    x, w_qkv, b_qkv, w_proj, b_proj = arguments
    for images, results in zip(x, exact, strict=True):
        for one, result in zip(images, results, strict=True):
            actual = attention_block(one, *arguments[1:], num_heads=3, backend=backend)
            torch.testing.assert_close(actual, result)
    padded = torch.full((4, 5, 8, 30), torch.nan)
    padded[1:3, 1:4, 1:7, 3:27] = x
    loose = torch.full((24, 50), torch.nan)
    loose[:, :15] = w_proj
    for view, first, second in (
        (padded[1:3, 1:4, 1:7, 3:27], w_qkv.t().contiguous().t(), loose[:, :15]),
        (x.transpose(1, 2).contiguous().transpose(1, 2), w_qkv, w_proj.t().contiguous().t()),
        (x.repeat_interleave(2, dim=-1)[..., ::2], w_qkv, w_proj),
    ):
        actual = attention_block(view, first, b_qkv, second, b_proj, num_heads=3, backend=backend)
        torch.testing.assert_close(actual, exact)


def test_out_is_filled_and_nothing_else(backend: str) -> None:
    arguments = operands(3, 5, 24)
    buffer = torch.full((4, 3, 5, 24), 123.0)
    out = buffer[1:3].fill_(torch.nan)
    given = {"num_heads": 3, "heads": (1, 3), "backend": backend}
    assert attention_block(*arguments, out=out, **given) is out
    assert torch.equal(out, attention_block(*arguments, **given))
    assert (buffer[0] == 123).all() and (buffer[3] == 123).all()


def test_native_reads_its_operands_and_nothing_else(instruction_set: str) -> None:
    """What lies beside them is NaN, and would poison every sum it entered."""
    for dtype in DTYPES:
        arguments = operands(3, 19, 21, dtype=dtype)
        poisoned = []
        for tensor in arguments:
            padded = torch.full([n + 40 for n in tensor.shape], torch.nan, dtype=dtype)
            view = padded[tuple(slice(20, 20 + n) for n in tensor.shape)]
            poisoned.append(view.copy_(tensor))
        buffer = torch.full((2 * GUARD + 2 * 3 * 19 * 21,), torch.nan, dtype=dtype)
        buffer[:GUARD] = buffer[-GUARD:] = 123
        out = buffer[GUARD:-GUARD].view(2, 3, 19, 21)
        native_attention_block.run(
            native_attention_block.Arguments(*poisoned, [1, 3], EPS, out),
            instruction_set=instruction_set,
        )
        assert torch.equal(out, one_after_the_other(*arguments, [1, 3], instruction_set))
        assert (buffer[:GUARD] == 123).all() and (buffer[-GUARD:] == 123).all()


def test_nan_stays_in_its_image(backend: str) -> None:
    arguments = operands(3, 9, 24)
    clean = attention_block(*arguments, num_heads=3, backend=backend)
    arguments[0] = arguments[0].clone()
    arguments[0][1, 4, 7] = torch.nan
    actual = attention_block(*arguments, num_heads=3, backend=backend)
    assert torch.equal(actual[::2], clean[::2]) and actual[1, 4].isnan().all()


def test_no_tokens(backend: str) -> None:
    for shape in ((0, 24), (0, 5, 24), (2, 0, 24), (2, 0, 5, 24)):
        arguments = operands(*shape)
        assert attention_block(*arguments, num_heads=3, backend=backend).shape == shape


def test_gradients_are_those_of_the_formula() -> None:
    arguments = [tensor.requires_grad_() for tensor in operands(2, 3, 8, dtype=torch.float64)]
    weight = torch.randn(2, 2, 3, 8, dtype=torch.float64)
    ours = attention_block(*arguments, num_heads=3, heads=(1, 2), eps=EPS)
    actual = torch.autograd.grad((ours * weight).sum(), arguments)
    plain = torch.stack([formula(*arguments, 3, count) for count in (1, 2)])
    exact = torch.autograd.grad((plain * weight).sum(), arguments)
    torch.testing.assert_close(actual, exact)
    with pytest.raises(RuntimeError, match="out= has no derivative"):
        attention_block(*arguments, num_heads=3, out=torch.empty(2, 3, 8, dtype=torch.float64))
    with pytest.raises(BackendError, match="'native' .*gradients are recorded.*'reference'"):
        attention_block(*arguments, num_heads=3, backend="native")
    with torch.no_grad():
        assert not attention_block(*arguments, num_heads=3).requires_grad


def test_transforms_match_the_formula() -> None:
    arguments = operands(2, 3, 8, dtype=torch.float64)
    tangents = operands(2, 3, 8, dtype=torch.float64)
    ours: Callable[..., Tensor] = lambda *args: attention_block(*args, num_heads=3, eps=EPS)  # noqa: E731
    actual = torch.func.jvp(ours, tuple(arguments), tuple(tangents))
    torch.testing.assert_close(actual, torch.func.jvp(formula, tuple(arguments), tuple(tangents)))
    x, *weights = arguments
    torch.testing.assert_close(torch.vmap(lambda x: ours(x, *weights))(x), formula(*arguments))
    with pytest.raises(RuntimeError, match="torch.func transform"):
        torch.vmap(lambda x: attention_block(x, *weights, num_heads=3, out=torch.empty_like(x)))(x)


def test_opcheck(backend: str) -> None:
    for biases, dtype in ((True, torch.float32), (False, torch.bfloat16)):
        x, *weights = operands(4, 6, 24, biases=biases, dtype=dtype)
        for view in (x, x[:0], x[::2], x.transpose(0, 1)):
            out = torch.empty(2, *view.shape, dtype=dtype)
            torch.library.opcheck(
                torch.ops.tvtfast.attention_block,
                (view, *weights, [1, 3], EPS, out),
                {"backend": backend},
            )


def test_compile_full_graph() -> None:
    def layer(x: Tensor, *weights: Tensor) -> Tensor:
        return attention_block(x * 2, *weights, num_heads=3, heads=(1, 2)).sum(dim=0)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for tokens in (5, 9):
        arguments = operands(2, tokens, 24)
        torch.testing.assert_close(compiled(*arguments), layer(*arguments))


def test_autocast_changes_nothing(backend: str) -> None:
    arguments = operands(2, 4, 24)
    exact = attention_block(*arguments, num_heads=3, backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = attention_block(*arguments, num_heads=3, backend=backend)
    assert torch.equal(actual, exact)


def test_wrong_arguments() -> None:
    x, w_qkv, b_qkv, w_proj, b_proj = operands(2, 4, 24)
    weights = w_qkv, b_qkv, w_proj, b_proj
    for arguments, error, message in (
        ((x.long(), *weights), TypeError, "x has dtype int64"),
        ((x, w_qkv.double(), *weights[1:]), TypeError, "x is torch.float32 and w_qkv is .*float64"),
        ((x, w_qkv, b_qkv.to("meta"), w_proj, b_proj), ValueError, "b_qkv on meta"),
        ((x[..., :0], *weights), ValueError, "one channel and head or more"),
        ((x[0, 0], *weights), ValueError, r"\[\*, tokens, channels\]"),
        ((x, w_qkv, b_qkv[1:], w_proj, b_proj), ValueError, r"b_qkv .*\(44,\).*must be \(45,\)"),
        ((x, w_qkv, b_qkv, w_qkv, b_proj), ValueError, r"w_proj .*\(45, 24\).*must be \(24, 15\)"),
    ):
        with pytest.raises(error, match=message):
            attention_block(*arguments, num_heads=3)
    for num_heads in (0, -1, 2, 45):
        with pytest.raises(ValueError, match=f"45 rows of w_qkv do not split.*={num_heads} heads"):
            attention_block(x, *weights, num_heads=num_heads)
    for heads in ((), (0, 3), (2, 2), (3, 1), (4,)):
        with pytest.raises(ValueError, match="increasing numbers from 1 to 3, which is num_heads"):
            attention_block(x, *weights, num_heads=3, heads=heads)
    for out in (torch.empty(2, 4, 23), torch.empty(4, 2, 24).transpose(0, 1)):
        with pytest.raises(ValueError, match=r"pass a contiguous tensor \(2, 4, 24\)"):
            attention_block(x, *weights, num_heads=3, out=out)
    with pytest.raises(TypeError, match="out is torch.float64"):
        attention_block(x, *weights, num_heads=3, out=torch.empty(2, 4, 24).double())
    with pytest.raises(BackendError, match="x is on cpu.*x is float32"):
        attention_block(x, *weights, num_heads=3, backend="triton")


def test_cpus_that_others_serve_better_are_declined(
    native: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = operands(2, 4, 24, dtype=torch.bfloat16)
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    with pytest.raises(BackendError, match="AMX"):
        attention_block(*arguments, num_heads=3, backend="native")
    plain = attention_block(*arguments, num_heads=3)
    assert torch.equal(plain, attention_block(*arguments, num_heads=3, backend="reference"))
