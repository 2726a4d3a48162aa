"""attention_map and attention_map_distance against straight fp64 formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from tvtfast.kernels import attention_map, attention_map_distance
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def resize_matrix(source: int, target: int) -> Tensor:
    """Bilinear interpolation along one axis as a matrix [target, source], half-pixel centres."""
    matrix = torch.zeros(target, source, dtype=torch.float64)
    for row in range(target):
        at = max((row + 0.5) * source / target - 0.5, 0.0)
        low = min(int(at), source - 1)
        high = min(low + 1, source - 1)
        matrix[row, low] += 1 - (at - low)
        matrix[row, high] += at - low
    return matrix


def formula(features: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Attention map [B, N] of features [B, C, H, W] in fp64, one step at a time."""
    x = features.double()
    if size is not None:
        rows, columns = resize_matrix(x.shape[2], size[0]), resize_matrix(x.shape[3], size[1])
        x = torch.einsum("yh,xw,bchw->bcyx", rows, columns, x)
    squares = (x * x).sum(dim=1) / x.shape[1]
    flat = squares.flatten(1)
    norm = (flat * flat).sum(dim=1, keepdim=True).sqrt()
    return flat / norm.clamp(min=1e-12)


def as_tokens(features: Tensor, prefix: int) -> Tensor:
    tokens = features.flatten(2).transpose(1, 2)
    noise = torch.full((len(features), prefix, features.shape[1]), 7.0).to(features.dtype)
    return torch.cat([noise, tokens], dim=1)


def assert_map_close(actual: Tensor, expected: Tensor, bound: float) -> None:
    """Error relative to the largest value of each image."""
    error = (actual.double() - expected).abs().amax(dim=-1)
    assert (error <= bound * expected.abs().amax(dim=-1)).all(), (error.max().item(), bound)


def map_bound(dtype: torch.dtype, features: Tensor, size: tuple[int, int] | None = None) -> float:
    extent = 0 if size is None else max(features.shape[2:])
    return OPERATORS["attention_map"].tolerance(dtype, features.shape[1], extent)


@pytest.mark.parametrize("dtype", (*DTYPES, torch.float64))
@pytest.mark.parametrize("channels", (1, 7, 16, 17, 192, 513))
def test_map_of_tokens_and_features(backend: str, dtype: torch.dtype, channels: int) -> None:
    if backend == "native" and dtype == torch.float64:
        pytest.skip("native declines fp64")
    features = torch.randn(3, channels, 5, 7, dtype=torch.float64).to(dtype)
    expected = formula(features)
    bound = map_bound(dtype, features)
    from_features = attention_map(features, backend=backend)
    from_tokens = attention_map(
        as_tokens(features, 2), prefix_tokens=2, grid=(5, 7), backend=backend
    )
    for actual in (from_features, from_tokens):
        assert actual.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert actual.shape == (3, 35) and actual.is_contiguous()
        assert_map_close(actual, expected, bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((8, 8), (14, 14)),
        ((7, 7), (8, 8)),
        ((14, 14), (5, 9)),
        ((1, 3), (4, 1)),
        ((28, 3), (3, 28)),
    ],
)
@pytest.mark.parametrize("channels", (5, 64))
def test_resized_map(
    backend: str,
    dtype: torch.dtype,
    source: tuple[int, int],
    target: tuple[int, int],
    channels: int,
) -> None:
    features = torch.randn(2, channels, *source).to(dtype)
    expected = formula(features, target)
    bound = map_bound(dtype, features, target)
    assert_map_close(attention_map(features, size=target, backend=backend), expected, bound)
    tokens = as_tokens(features, 1)
    actual = attention_map(tokens, size=target, prefix_tokens=1, grid=source, backend=backend)
    assert_map_close(actual, expected, bound)


def test_resize_matches_interpolate() -> None:
    features = torch.randn(2, 3, 9, 4, dtype=torch.float64)
    resized = torch.nn.functional.interpolate(features, size=(6, 11), mode="bilinear")
    torch.testing.assert_close(formula(features, (6, 11)), formula(resized))


def test_many_channels_do_not_overflow_a_resize_block(native: str) -> None:
    features = torch.randn(2, 1030, 2, 2)
    bound = map_bound(torch.float32, features, (3, 3))
    assert_map_close(
        attention_map(features, size=(3, 3), backend=native), formula(features, (3, 3)), bound
    )


def strided_views() -> dict[str, Tensor]:
    base = torch.randn(4, 6, 5, 8)
    return {
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "rows_and_columns_swapped": base.transpose(2, 3).contiguous().transpose(2, 3),
        "images_innermost": base.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2),
        "cropped": torch.randn(4, 6, 9, 12)[:, :, 2:7, 3:11],
        "every_other_channel": torch.randn(4, 12, 5, 8)[:, ::2],
        "every_other_column": torch.randn(4, 6, 5, 16)[..., ::2],
        "expanded": torch.randn(1, 6, 5, 8).expand(4, -1, -1, -1),
    }


@pytest.mark.parametrize("name", strided_views())
@pytest.mark.parametrize("size", (None, (7, 6)))
def test_strides(backend: str, name: str, size: tuple[int, int] | None) -> None:
    features = strided_views()[name].requires_grad_()
    actual = attention_map(features, size=size, backend=backend)
    assert_map_close(
        actual, formula(features.detach(), size), map_bound(torch.float32, features, size)
    )
    weights = torch.randn(actual.shape)
    (gradient,) = torch.autograd.grad((actual * weights).sum(), features)
    exact = features.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad((formula(exact, size) * weights).sum(), exact)
    bound = OPERATORS["attention_map_backward"].tolerance(torch.float32, 6, 8)
    assert (gradient - expected).abs().max() <= bound * expected.abs().max()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, 9) for _ in range(4))),
    size=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_any_shape(shape: tuple[int, int, int, int], size: tuple[int, int] | None) -> None:
    features = torch.randn(shape)
    actual = attention_map(features, size=size)
    assert_map_close(actual, formula(features, size), map_bound(torch.float32, features, size))
    torch.testing.assert_close(actual.norm(dim=-1), torch.ones(shape[0]))
    torch.testing.assert_close(attention_map(features * 3, size=size), actual)


def test_leading_dimensions(backend: str) -> None:
    features = torch.randn(2, 3, 4, 5, 6)
    actual = attention_map(features, backend=backend)
    assert actual.shape == (2, 3, 30)
    assert torch.equal(actual[1, 2], attention_map(features[1, 2], backend=backend))
    assert torch.equal(actual.flatten(0, 1), attention_map(features.flatten(0, 1), backend=backend))


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 0, 4, 3, 3)])
def test_no_images(backend: str, shape: tuple[int, ...]) -> None:
    features = torch.empty(shape, requires_grad=True)
    assert attention_map(features, size=(2, 2), backend=backend).shape == (*shape[:-3], 4)
    distance = attention_map_distance(features, torch.ones(4), size=(2, 2), backend=backend)
    assert distance.shape == shape[:-3]
    distance.sum().backward()
    assert features.grad is not None and features.grad.shape == shape


@pytest.mark.parametrize("scale", (1e10, 1e18, 1e-4))
def test_magnitudes(backend: str, scale: float) -> None:
    features = torch.randn(2, 8, 6, 6)
    actual = attention_map(features * scale, backend=backend)
    assert_map_close(actual, formula(features * scale), map_bound(torch.float32, features))


def test_zero_features(backend: str) -> None:
    features = torch.zeros(2, 4, 3, 3, requires_grad=True)
    actual = attention_map(features, backend=backend)
    assert torch.equal(actual, torch.zeros(2, 9))
    attention_map_distance(features, torch.ones(9), backend=backend).sum().backward()
    assert features.grad is not None and torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("size", (None, (4, 4)))
def test_nan_stays_in_its_image(backend: str, size: tuple[int, int] | None) -> None:
    features = torch.randn(3, 4, 3, 3)
    features[1, 2, 0, 0] = torch.nan
    actual = attention_map(features, size=size, backend=backend)
    assert actual[1].isnan().all() and not actual[[0, 2]].isnan().any()
    distance = attention_map_distance(features, actual[0], size=size, backend=backend)
    assert distance.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", (None, (14, 14)))
def test_distance(backend: str, dtype: torch.dtype, size: tuple[int, int] | None) -> None:
    features = torch.randn(5, 24, 8, 8).to(dtype)
    expected_map = formula(features, size)
    positions = expected_map.shape[1]
    teacher = formula(torch.randn(5, 3, 8, 8), size).float()
    actual = attention_map_distance(features, teacher, size=size, backend=backend)
    expected = (teacher.double() - expected_map).square().mean(dim=-1)
    bound = OPERATORS["attention_map_distance"].tolerance(dtype, 24, 8 if size else 0)
    assert actual.dtype == torch.float32
    assert ((actual - expected).abs() <= bound / positions).all()


def test_distance_does_not_cancel(backend: str) -> None:
    features = torch.randn(2, 16, 14, 14)
    teacher = formula(features)
    teacher[:, 0] += 1e-4
    actual = attention_map_distance(features, teacher.float(), backend=backend)
    expected = (teacher.float().double() - formula(features)).square().mean(dim=-1)
    torch.testing.assert_close(actual.double(), expected, rtol=2e-2, atol=0)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (1, 1)])
def test_teacher_broadcast(backend: str, shape: tuple[int, ...]) -> None:
    tokens = torch.randn(2, 3, 1 + 12, 8)
    teacher = torch.rand(*shape, 12)
    actual = attention_map_distance(tokens, teacher, prefix_tokens=1, grid=(3, 4), backend=backend)
    maps = attention_map(tokens, prefix_tokens=1, grid=(3, 4), backend=backend)
    torch.testing.assert_close(actual, (teacher - maps).square().mean(dim=-1))


@pytest.mark.parametrize("size", (None, (3, 3), (5, 2)))
@pytest.mark.parametrize("teacher_shape", ((), (3,), (2, 1)))
def test_gradcheck(size: tuple[int, int] | None, teacher_shape: tuple[int, ...]) -> None:
    features = torch.randn(2, 3, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    height, width = size or (4, 3)
    teacher = torch.rand(*teacher_shape, height * width, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, t: attention_map_distance(x, t, size=size), (features, teacher))
    assert gradcheck(lambda x: attention_map(x, size=size), (features,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features", "channels_last"))
@pytest.mark.parametrize("size", (None, (6, 6), (3, 5)))
def test_gradient_against_fp64(
    backend: str, dtype: torch.dtype, layout: str, size: tuple[int, int] | None
) -> None:
    features = torch.randn(4, 20, 4, 5).to(dtype)
    grid = None
    prefix = 0
    if layout == "tokens":
        features, grid, prefix = as_tokens(features, 1), (4, 5), 1
    elif layout == "channels_last":
        features = features.contiguous(memory_format=torch.channels_last)
    positions = 20 if size is None else size[0] * size[1]
    teacher = torch.rand(4, positions)

    def gradients(x: Tensor, teacher: Tensor, backend: str) -> tuple[Tensor, ...]:
        x, teacher = x.detach().requires_grad_(), teacher.detach().requires_grad_()
        distance = attention_map_distance(
            x, teacher, size=size, prefix_tokens=prefix, grid=grid, backend=backend
        )
        return torch.autograd.grad(distance.sum(), (x, teacher))

    actual = gradients(features, teacher, backend)
    expected = gradients(features.double(), teacher.double(), "reference")
    bound = OPERATORS["attention_map_backward"].tolerance(dtype, 20, 5 if size else 0)
    for value, exact in zip(actual, expected, strict=True):
        assert (value - exact).abs().max() <= bound * exact.abs().max()
    assert actual[0].dtype == dtype
    if prefix:
        assert torch.equal(actual[0][:, :prefix], torch.zeros_like(actual[0][:, :prefix]))


def test_double_backward_raises(backend: str) -> None:
    features = torch.randn(1, 2, 3, 3, requires_grad=True)
    for values in (
        attention_map(features, backend=backend),
        attention_map_distance(features, torch.rand(9), backend=backend),
    ):
        with pytest.raises(RuntimeError, match="differentiable once.*torch.func.grad"):
            torch.autograd.grad(values.sum(), features, create_graph=True)


@pytest.mark.parametrize("size", (None, (9, 9)))
def test_threads_do_not_change_bits(
    native: str, threads: None, size: tuple[int, int] | None
) -> None:
    features = torch.randn(16, 64, 14, 14)
    results = []
    for count in (1, 2, 3, 5):
        torch.set_num_threads(count)
        x = features.clone().requires_grad_()
        values = attention_map(x, size=size, backend=native)
        (values * torch.arange(values.shape[1])).sum().backward()
        results.append((values.detach(), x.grad))
    for values, gradient in results[1:]:
        assert torch.equal(values, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride_of", ("channels", "positions"))
@pytest.mark.parametrize("size", ((4, 5), (3, 7)))
def test_native_writes_its_outputs_and_nothing_else(
    native: str, dtype: torch.dtype, stride_of: str, size: tuple[int, int]
) -> None:
    from tvtfast import _C
    from tvtfast.kernels.backend.native import DTYPE_CODES

    guard, images, channels = 32, 3, 18
    x = torch.randn(images, 4, 5, channels).to(dtype)
    if stride_of == "positions":
        x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    positions = size[0] * size[1]

    def guarded(count: int, kind: torch.dtype = torch.float32) -> tuple[Tensor, int]:
        buffer = torch.full((count + 2 * guard,), torch.nan, dtype=kind)
        buffer[:guard] = buffer[-guard:] = 123.0
        return buffer, buffer.data_ptr() + guard * buffer.itemsize

    outputs = [guarded(images * positions), guarded(images), guarded(images)]
    grad_x = guarded(x.numel(), dtype)
    teacher = torch.rand(images, positions)
    arguments = (x.data_ptr(), DTYPE_CODES[dtype], x.shape, x.stride(), size)
    (map_, map_at), (_, norm_at), (_, distance_at) = outputs
    _C.attention_map(*arguments, map_at, norm_at, teacher.data_ptr(), images, distance_at, 2)
    _C.attention_map_backward(*arguments, map_at, norm_at, teacher.data_ptr(), grad_x[1], 2)
    for buffer, _ in (*outputs, grad_x):
        assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()
        assert not buffer[guard:-guard].isnan().any()
    assert map_[guard:-guard].view(images, positions).norm(dim=1).allclose(torch.ones(images))


def test_autocast(backend: str) -> None:
    features = torch.randn(2, 8, 4, 4).bfloat16()
    plain = attention_map(features, size=(5, 5), backend=backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attention_map(features, size=(5, 5), backend=backend), plain)


def test_meta_tensors() -> None:
    tokens = torch.empty(2, 3, 17, 8, device="meta", dtype=torch.bfloat16)
    actual = attention_map(tokens, prefix_tokens=1, grid=(4, 4), size=(7, 7))
    assert actual.shape == (2, 3, 49) and actual.dtype == torch.float32
    teacher = torch.empty(3, 16, device="meta")
    assert attention_map_distance(tokens, teacher, prefix_tokens=1, grid=(4, 4)).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": torch.ones(2, 17, 4), "grid": (4, 4)}, ValueError, "17 tokens.*0 \\+ 16"),
        ({"x": torch.ones(2, 3, 4, 4), "prefix_tokens": 1}, ValueError, "without grid"),
        ({"x": torch.ones(4, 4)}, ValueError, "features are"),
        ({"x": torch.ones(4), "grid": (2, 2)}, ValueError, "tokens are"),
        ({"x": torch.ones(2, 0, 4, 4)}, ValueError, "at least one channel"),
        ({"x": torch.ones(2, 3, 4, 4), "size": (0, 4)}, ValueError, "at least 1"),
        ({"x": torch.ones(2, 3, 4, 4), "size": (4, 4, 4)}, ValueError, "height, width"),
        ({"x": torch.ones(2, 3, 4, 4, dtype=torch.int32)}, TypeError, "int32.*float32"),
        ({"x": [[1.0]]}, TypeError, "list"),
    ],
)
def test_wrong_arguments(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        attention_map(**arguments)


def test_wrong_teacher() -> None:
    features = torch.ones(2, 3, 14, 14)
    with pytest.raises(ValueError, match="64 positions.*196 .*14 x 14.*size="):
        attention_map_distance(features, torch.ones(2, 64))
    with pytest.raises(ValueError, match="64 positions.*49 .*7 x 7 from features 14 x 14"):
        attention_map_distance(features, torch.ones(2, 64), size=(7, 7))
    with pytest.raises(ValueError, match="does not broadcast"):
        attention_map_distance(features, torch.ones(3, 196))
    with pytest.raises(ValueError, match="does not broadcast"):
        attention_map_distance(features, torch.ones(2, 2, 196))
    with pytest.raises(TypeError, match="int64"):
        attention_map_distance(features, torch.ones(2, 196, dtype=torch.int64))
