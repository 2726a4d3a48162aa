"""mlp_block against its formula in fp64, and as PyTorch sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tvtfast.kernels import BackendError, mlp_block
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.linear import native as native_linear
from tvtfast.kernels.mlp_block import native as native_mlp_block
from tvtfast.kernels.mlp_block import reference

EPS = 1e-6


def operands(
    *shape: int, hidden: int = 40, biases: bool = True, dtype: torch.dtype = torch.float32
) -> list[Any]:
    channels = shape[-1]
    x, w1, b1, w2, b2 = (
        torch.randn(size).to(dtype)
        for size in (shape, (hidden, channels), (hidden,), (channels, hidden), (channels,))
    )
    return [x, w1, b1, w2, b2] if biases else [x, w1, None, w2, None]


def formula(
    x: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None, eps: float = EPS
) -> Tensor:
    """Layer by layer, as a pre-norm transformer states it."""
    centred = x - x.mean(dim=-1, keepdim=True)
    normed = centred * (centred.square().mean(dim=-1, keepdim=True) + eps).rsqrt()
    inner = F.linear(normed, w1, b1)
    return x + F.linear(inner * torch.special.ndtr(inner), w2, b2)


def slices(arguments: list[Any], width: int) -> list[Any]:
    x, w1, b1, w2, b2 = arguments
    return [x, w1[:width], None if b1 is None else b1[:width], w2[:, :width], b2]


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16, torch.float64))
@pytest.mark.parametrize("biases", (False, True))
def test_formula(backend: str, dtype: torch.dtype, biases: bool) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    for channels, hidden in ((1, 1), (24, 96), (192, 320)):
        arguments = operands(3, 5, channels, hidden=hidden, biases=biases, dtype=dtype)
        widths = [*range(1, hidden, 31), hidden]
        actual = mlp_block(*arguments, hidden=widths, eps=EPS, backend=backend)
        assert actual.dtype == dtype and actual.shape == (len(widths), 3, 5, channels)
        wide = [None if tensor is None else tensor.double() for tensor in arguments]
        rows = [wide[0].flatten(0, 1), *wide[1:]]
        spread = reference.spread(*rows, widths, EPS).view_as(actual)
        x = wide[0]
        extent = (x.abs() / (x.var(dim=-1, correction=0, keepdim=True) + EPS).sqrt()).max()
        bound = OPERATORS["mlp_block"].tolerance(dtype, max(channels, hidden), float(extent))
        for result, unit, width in zip(actual, spread, widths, strict=True):
            assert ((result - formula(*slices(wide, width))).abs() <= bound * unit).all()
        place = torch.full_like(arguments[0], torch.nan)
        alone = mlp_block(*arguments, eps=EPS, out=place, backend=backend)
        assert torch.equal(alone, actual[-1])


def test_strides(backend: str) -> None:
    arguments = operands(4, 6, 24)
    exact = mlp_block(*arguments, backend=backend)
    x, w1, b1, w2, b2 = arguments
    padded = torch.full((8, 9, 30), torch.nan)
    padded[2:6, 1:7, 3:27] = x
    loose = torch.full((24, 50), torch.nan)
    loose[:, :40] = w2
    for view, first, second in (
        (padded[2:6, 1:7, 3:27], w1.t().contiguous().t(), loose[:, :40]),
        (x.transpose(0, 1).contiguous().transpose(0, 1), w1, w2.t().contiguous().t()),
    ):
        actual = mlp_block(view, first, b1, second, b2, backend=backend)
        torch.testing.assert_close(actual, exact)


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16))
@pytest.mark.parametrize("rows", (1, 7, 150, 700))
def test_native_is_the_two_layers_to_the_bit(
    instruction_set: str, dtype: torch.dtype, rows: int, threads: None
) -> None:
    for channels, widths in ((48, [40]), (33, [1, 75, 131]), (192, [640, 961])):
        x, w1, b1, w2, b2 = operands(rows, channels, hidden=widths[-1], dtype=dtype)
        every = {"instruction_set": instruction_set}
        active = x.new_empty(rows, widths[-1])
        native_linear.run(native_linear.Arguments(active, x, w1, b1, None, EPS, True), **every)
        expected = x.new_empty(len(widths), rows, channels)
        for width, result in zip(widths, expected, strict=True):
            hidden = active[:, :width], w2[:, :width]
            native_linear.run(native_linear.Arguments(result, *hidden, b2, x, None, False), **every)
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            actual = torch.full_like(expected, torch.nan)
            native_mlp_block.run(
                native_mlp_block.Arguments(x, w1, b1, w2, b2, widths, EPS, actual), **every
            )
            assert torch.equal(actual, expected)


def test_out_is_filled_and_nothing_else() -> None:
    arguments = operands(3, 5, 24)
    buffer = torch.full((4, 3, 5, 24), 123.0)
    out = buffer[1:3].fill_(torch.nan)
    assert mlp_block(*arguments, hidden=(16, 40), out=out) is out
    assert torch.equal(out, mlp_block(*arguments, hidden=(16, 40)))
    assert (buffer[0] == 123).all() and (buffer[3] == 123).all()


def test_no_tokens() -> None:
    for shape in ((0, 24), (2, 0, 24)):
        assert mlp_block(*operands(*shape)).shape == shape


def test_gradients_are_those_of_the_formula() -> None:
    arguments = [tensor.requires_grad_() for tensor in operands(2, 3, 8, dtype=torch.float64)]
    weight = torch.randn(2, 3, 8, dtype=torch.float64)
    actual = torch.autograd.grad((mlp_block(*arguments, eps=EPS) * weight).sum(), arguments)
    exact = torch.autograd.grad((formula(*arguments) * weight).sum(), arguments)
    torch.testing.assert_close(actual, exact)
    with pytest.raises(RuntimeError, match="out= has no derivative"):
        mlp_block(*arguments, out=torch.empty(2, 3, 8, dtype=torch.float64))
    with pytest.raises(BackendError, match="'triton' .*gradients are recorded.*'reference'"):
        mlp_block(*arguments, backend="triton")
    with torch.no_grad():
        assert not mlp_block(*arguments).requires_grad


def test_transforms_match_the_formula() -> None:
    arguments = operands(2, 3, 8, dtype=torch.float64)
    tangents = operands(2, 3, 8, dtype=torch.float64)
    ours: Callable[..., Tensor] = lambda *args: mlp_block(*args, eps=EPS)  # noqa: E731
    actual = torch.func.jvp(ours, tuple(arguments), tuple(tangents))
    torch.testing.assert_close(actual, torch.func.jvp(formula, tuple(arguments), tuple(tangents)))
    x, *weights = arguments
    torch.testing.assert_close(torch.vmap(lambda x: ours(x, *weights))(x), formula(*arguments))
    with pytest.raises(RuntimeError, match="torch.func transform"):
        torch.vmap(lambda x: mlp_block(x, *weights, out=torch.empty_like(x)))(x)


def test_opcheck(backend: str) -> None:
    for biases, dtype in ((True, torch.float32), (False, torch.bfloat16)):
        x, *weights = operands(6, 24, biases=biases, dtype=dtype)
        for view in (x, x[:0], x[::2]):
            out = torch.empty(2, *view.shape, dtype=dtype)
            torch.library.opcheck(
                torch.ops.tvtfast.mlp_block,
                (view, *weights, [8, 40], EPS, out),
                {"backend": backend},
            )


def test_compile_full_graph() -> None:
    def layer(x: Tensor, *weights: Tensor) -> Tensor:
        return mlp_block(x * 2, *weights, hidden=(8, 40)).sum(dim=0)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for tokens in (5, 9):
        arguments = operands(2, tokens, 24)
        torch.testing.assert_close(compiled(*arguments), layer(*arguments))


def test_autocast_changes_nothing() -> None:
    arguments = operands(4, 24)
    exact = mlp_block(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mlp_block(*arguments), exact)


def test_wrong_arguments() -> None:
    x, w1, b1, w2, b2 = operands(4, 24)
    for arguments, error, message in (
        ((x.long(), w1, b1, w2, b2), TypeError, "x has dtype int64"),
        ((x, w1.double(), b1, w2, b2), TypeError, "x is torch.float32 and w1 is torch.float64"),
        ((x, w1, b1.to("meta"), w2, b2), ValueError, "b1 on meta"),
        ((x[:, :0], w1, b1, w2, b2), ValueError, "one or more of each"),
        ((x, w1[0], b1, w2, b2), ValueError, r"\[hidden, channels\]"),
        ((x, w1, b1[1:], w2, b2), ValueError, r"b1 has shape \(39,\).*must be \(40,\)"),
        ((x, w1, b1, w1, b2), ValueError, r"w2 has shape \(40, 24\).*must be \(24, 40\)"),
    ):
        with pytest.raises(error, match=message):
            mlp_block(*arguments)
    for hidden in ((), (0, 3), (8, 8), (9, 3), (41,)):
        with pytest.raises(ValueError, match="increasing numbers from 1 to 40, the rows"):
            mlp_block(x, w1, b1, w2, b2, hidden=hidden)
    for out in (torch.empty(4, 23), torch.empty(24, 4).t()):
        with pytest.raises(ValueError, match=r"pass a contiguous tensor \(4, 24\)"):
            mlp_block(x, w1, b1, w2, b2, out=out)
    with pytest.raises(TypeError, match="out is torch.float64"):
        mlp_block(x, w1, b1, w2, b2, out=torch.empty(4, 24).double())
    with pytest.raises(BackendError, match="x is on cpu.*x is float32"):
        mlp_block(x, w1, b1, w2, b2, backend="triton")
