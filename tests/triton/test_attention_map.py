"""Attention maps of the interpreted kernels against fp64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tvtfast.kernels import attention_map, attention_map_distance
from tvtfast.kernels.attention_map import reference
from tvtfast.kernels.attention_map import triton as backend
from tvtfast.kernels.attention_map.definition import Arguments
from tvtfast.kernels.attention_map_backward import reference as reference_backward
from tvtfast.kernels.attention_map_backward.definition import Arguments as BackwardArguments
from tvtfast.kernels.attention_map_distance import reference as reference_distance
from tvtfast.kernels.attention_map_distance.definition import Arguments as DistanceArguments
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
RESIZES = [((2, 3), (3, 4)), ((5, 4), (2, 3)), ((1, 3), (2, 1)), ((3, 1), (1, 2))]


def layouts(features: Tensor) -> dict[str, Tensor]:
    """Views ``[B, H, W, C]`` of the same features [B, C, H, W]."""
    images, channels, height, width = features.shape
    wide = torch.full((images, height + 2, width + 3, channels), 7.0).to(features.dtype)
    wide[:, 1:-1, 2:-1] = features.permute(0, 2, 3, 1)
    tall = wide.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    return {
        "tokens": features.permute(0, 2, 3, 1).contiguous(),
        "features": features.permute(0, 2, 3, 1),
        "cropped_tokens": wide[:, 1:-1, 2:-1],
        "cropped_features": tall[:, 1:-1, 2:-1],
        "images_innermost": features.permute(2, 3, 1, 0).contiguous().permute(3, 0, 1, 2),
    }


LAYOUTS = tuple(layouts(torch.empty(1, 1, 1, 1)))


def assert_maps(x: Tensor, size: tuple[int, int], dtype: torch.dtype) -> None:
    from tvtfast.kernels.attention_map import triton_kernels as triton

    teacher, _ = reference.run(Arguments(torch.rand(1, *size, 2), size))
    extent = 0 if size == tuple(x.shape[1:3]) else max(x.shape[1:3])

    def bound(operator: str) -> float:
        return OPERATORS[operator].tolerance(dtype, x.shape[3], extent)

    distance, values, norm = triton.distance(DistanceArguments(x, teacher, size))
    exact = reference_distance.run(DistanceArguments(x.double(), teacher.double(), size))
    error = (values - exact[1]).abs().amax(dim=1)
    assert (error <= bound("attention_map") * exact[1].amax(dim=1)).all()
    assert ((norm - exact[2]).abs() <= bound("attention_map") * exact[2]).all()
    limit = bound("attention_map_distance") / teacher.shape[1]
    assert ((distance - exact[0]).abs() <= limit).all()
    again = triton.distance(DistanceArguments(x, teacher, size))
    assert all(torch.equal(a, b) for a, b in zip(again, (distance, values, norm), strict=True))
    assert torch.equal(triton.forward(Arguments(x, size))[0], values)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", (1, 17, 129))
def test_maps(poisoned: None, layout: str, dtype: torch.dtype, channels: int) -> None:
    x = layouts(torch.randn(2, channels, 3, 5).to(dtype))[layout]
    assert_maps(x, (3, 5), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("resize", RESIZES)
def test_resized_maps(poisoned: None, layout: str, resize: tuple[tuple[int, int], ...]) -> None:
    source, target = resize
    assert_maps(layouts(torch.randn(2, 9, *source))[layout], target, torch.float32)


@pytest.mark.parametrize("grid", ((1, 1), (1, 7), (1, 197), (32, 32), (25, 41), (34, 35)))
def test_numbers_of_positions(poisoned: None, grid: tuple[int, int]) -> None:
    """Around a block, and on both sides of the limit of one program."""
    assert_maps(torch.randn(2, *grid, 8), grid, torch.float32)


def test_resize_to_more_positions_than_one_program_takes(poisoned: None) -> None:
    assert_maps(torch.randn(1, 6, 6, 8), (33, 32), torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients(poisoned: None, layout: str) -> None:
    assert_gradient(layouts(torch.randn(2, 17, 3, 5))[layout], (3, 5))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
def test_resized_gradients(
    poisoned: None, layout: str, resize: tuple[tuple[int, int], ...]
) -> None:
    source, size = resize
    assert_gradient(layouts(torch.randn(1, 17, *source))[layout], size)


@pytest.mark.parametrize("layout", ("cropped_tokens", "cropped_features"))
def test_resized_gradients_of_scattered_rows(poisoned: None, layout: str) -> None:
    assert_gradient(layouts(torch.randn(1, 3, 2, 3))[layout], (3, 2))


def test_gradient_in_half_precision(poisoned: None) -> None:
    assert_gradient(torch.randn(2, 3, 5, 17).half(), (3, 5))


def assert_gradient(x: Tensor, size: tuple[int, int]) -> None:
    from tvtfast.kernels.attention_map_backward import triton_kernels as triton

    values, norm = reference.run(Arguments(x, size))
    grad_map = torch.randn(values.shape)
    call = BackwardArguments(x, values, norm, grad_map, size)
    actual = triton.backward(call)
    arguments = (t.double() for t in (x, values, norm, grad_map))
    expected = reference_backward.run(BackwardArguments(*arguments, size))
    source, channels = tuple(x.shape[1:3]), x.shape[3]
    extent = 0 if source == size else max(source)
    bound = OPERATORS["attention_map_backward"].tolerance(x.dtype, channels, extent)
    # A map of equal values has no gradient; what remains is rounding of the terms that cancel.
    terms = 2 / channels * grad_map.abs().max() * x.abs().max() / norm.min()
    assert actual.dtype == x.dtype
    assert actual.stride() == reference_backward.run(call).stride()
    assert (actual - expected).abs().max() <= bound * torch.maximum(expected.abs().max(), terms)


def test_public_functions_and_autograd(poisoned: None) -> None:
    tokens = torch.randn(2, 3, 1 + 12, 8, requires_grad=True)
    teacher = torch.rand(3, 12)
    grads = []
    for name in ("triton", "reference"):
        distance = attention_map_distance(
            tokens, teacher, prefix_tokens=1, grid=(3, 4), backend=name
        )
        assert distance.shape == (2, 3)
        grads.append(torch.autograd.grad(distance.sum(), tokens)[0])
    torch.testing.assert_close(*grads)


def test_no_images() -> None:
    x = torch.empty(0, 4, 3, 3, requires_grad=True)
    attention_map_distance(x, torch.ones(4), size=(2, 2), backend="triton").sum().backward()
    assert x.grad is not None and x.grad.shape == x.shape


@pytest.mark.parametrize("scale", (1e18, 1e-4))
def test_magnitudes(scale: float) -> None:
    x = torch.randn(2, 300, 3, 3) * scale
    actual = attention_map(x, backend="triton")
    torch.testing.assert_close(actual, attention_map(x.double()).float())


def test_zeros_and_nans_stay_in_their_image() -> None:
    x = torch.randn(3, 4, 3, 3)
    x[0], x[1, 2, 0, 0] = 0, torch.nan
    x.requires_grad_()
    for size in ((3, 3), (2, 2)):
        values = attention_map(x, size=size, backend="triton")
        assert torch.equal(values[0], torch.zeros(values.shape[1]))
        assert values[1].isnan().all() and not values[2].isnan().any()
        (gradient,) = torch.autograd.grad(values.sum(), x)
        assert torch.equal(gradient[0], torch.zeros(4, 3, 3))
        assert not gradient[2].isnan().any()


@pytest.mark.parametrize("grid", ((3, 3), (33, 32)))
def test_large_maps_treat_nans_alike(grid: tuple[int, int]) -> None:
    x = torch.ones(2, 1, *grid)
    x[1, 0, 0, 0] = torch.nan
    distance = attention_map_distance(x, torch.ones(1, grid[0] * grid[1]), backend="triton")
    assert distance.isnan().tolist() == [False, True]


def test_what_is_declined() -> None:
    x = torch.ones(1, 2, 2, 2)
    assert backend.reasons(backend.Arguments(x, [2, 2])) == ()
    (reason,) = backend.reasons(backend.Arguments(x.double(), [2, 2]))
    assert reason == "x is float64 (allowed: float32, float16, bfloat16)"
