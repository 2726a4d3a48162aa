"""attention_map_distances: bit for bit the dense form of every candidate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvtfast import kernels
from tvtfast.kernels import attention_map_distance, attention_map_distances
from tvtfast.kernels.dispatch import OPERATORS

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WIDTHS = (1, 7, 16, 17, 197, 216)
GRID = (3, 4)


def tokens(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Tokens ``[3, 1 + 12, C]`` of every width, each with strides of its own."""
    xs = []
    for index, width in enumerate(WIDTHS):
        if index % 3 == 0:
            x = torch.randn(3, 13, width)
        elif index % 3 == 1:
            x = torch.randn(3, 15, width + 3)[:, 1:-1, 2:-1]
        else:
            x = torch.randn(13, width, 3).permute(2, 0, 1)
        xs.append(x.to(dtype) if index % 2 else x.clone(memory_format=torch.preserve_format))
    return [x.to(dtype) for x in xs]


def dense(xs: list[Tensor], teacher: Tensor, **arguments: Any) -> Tensor:
    return torch.stack([attention_map_distance(x, teacher, **arguments) for x in xs])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", (None, (5, 3), (2, 2)))
def test_bits_of_the_dense_form(
    backend: str, dtype: torch.dtype, size: tuple[int, int] | None
) -> None:
    teacher = torch.rand(3, size[0] * size[1] if size else 12)
    layout = {"size": size, "prefix_tokens": 1, "grid": GRID, "backend": backend}
    xs = tokens(dtype)
    actual = attention_map_distances(xs, teacher, **layout)
    assert actual.shape == (len(xs), 3) and actual.dtype == torch.float32
    assert torch.equal(actual, dense(xs, teacher, **layout))
    planes = [x[:, 1:].transpose(1, 2).unflatten(2, GRID) for x in xs]
    assert torch.equal(
        attention_map_distances(planes, teacher, size=size, backend=backend),
        dense(planes, teacher, size=size, backend=backend),
    )


def test_error_against_fp64(backend: str) -> None:
    teacher = torch.nn.functional.normalize(torch.rand(3, 12))
    layout = {"prefix_tokens": 1, "grid": GRID}
    xs = tokens()
    exact = attention_map_distances([x.double() for x in xs], teacher.double(), **layout)
    assert exact.dtype == torch.float64
    actual = attention_map_distances(xs, teacher, backend=backend, **layout)
    tolerance = OPERATORS["attention_map_distances"].tolerance
    bounds = torch.tensor([tolerance(torch.float32, width) / 12 for width in WIDTHS])
    assert ((actual - exact).abs() <= bounds[:, None]).all()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_widths(data: st.DataObject) -> None:
    widths = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=6))
    images, height, width = (data.draw(st.integers(1, 4)) for _ in range(3))
    xs = [torch.randn(images, c, height, width) for c in widths]
    teacher = torch.rand(data.draw(st.sampled_from((1, images))), height * width)
    assert torch.equal(attention_map_distances(xs, teacher), dense(xs, teacher))


def test_leading_dimensions_and_teacher_rows(backend: str) -> None:
    xs = [torch.randn(2, 3, 12, width) for width in (5, 8)]
    for teacher in (torch.rand(12), torch.rand(3, 12), torch.rand(2, 1, 12)):
        actual = attention_map_distances(xs, teacher, grid=GRID, backend=backend)
        assert actual.shape == (2, 2, 3)
        assert torch.equal(actual, dense(xs, teacher, grid=GRID, backend=backend))


def test_no_images(backend: str) -> None:
    xs = [torch.empty(0, width, 3, 4) for width in (2, 3)]
    assert attention_map_distances(xs, torch.rand(12), backend=backend).shape == (2, 0)


def test_threads_do_not_change_bits(native: str, threads: None) -> None:
    xs = [torch.randn(5, width, 14, 14) for width in (192, 216, 240)]
    teacher, results = torch.rand(5, 196), []
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        results.append(attention_map_distances(xs, teacher, backend=native))
    assert all(torch.equal(result, results[0]) for result in results)


def test_nan_stays_in_its_image(backend: str) -> None:
    xs = [torch.ones(2, width, 3, 4) for width in (5, 6)]
    xs[1][0, 2, 1, 1] = torch.nan
    actual = attention_map_distances(xs, torch.rand(12), backend=backend)
    assert actual.isnan().tolist() == [[False, False], [True, False]]


def test_gradients_are_those_of_one_candidate(backend: str) -> None:
    xs = [torch.randn(2, width, 3, 4, requires_grad=True) for width in (5, 8)]
    frozen = torch.randn(2, 6, 3, 4)
    teacher = torch.rand(2, 12, requires_grad=True)
    together = attention_map_distances([*xs, frozen], teacher, backend=backend)
    one_by_one = torch.stack(
        [attention_map_distance(x, teacher, backend=backend) for x in (*xs, frozen)]
    )
    assert torch.equal(together, one_by_one)
    weights = torch.randn(3, 2)
    actual, expected = (
        torch.autograd.grad((distances * weights).sum(), [*xs, teacher])
        for distances in (together, one_by_one)
    )
    assert all(
        torch.equal(a, b) and a.abs().max() > 0 for a, b in zip(actual, expected, strict=True)
    )


def test_transforms_use_the_reference() -> None:
    xs, teacher = [torch.randn(2, c, 3, 3) for c in (4, 6)], torch.rand(2, 9)

    def ours(*xs: Tensor) -> Tensor:
        return attention_map_distances(xs, teacher)

    def plain(*xs: Tensor) -> Tensor:
        return torch.stack([attention_map_distance(x, teacher, backend="reference") for x in xs])

    tangents = tuple(torch.randn_like(x) for x in xs)
    expected = torch.func.jvp(plain, tuple(xs), tangents)
    torch.testing.assert_close(torch.func.jvp(ours, tuple(xs), tangents), expected)
    assert expected[1].abs().max() > 0
    mapped = torch.vmap(ours)(*(x[None] for x in xs))
    torch.testing.assert_close(mapped, ours(*xs)[None])


def test_compile_full_graph() -> None:
    compiled = torch.compile(attention_map_distances, fullgraph=True, backend="aot_eager")
    xs, teacher = [torch.randn(2, c, 3, 3) for c in (4, 6)], torch.rand(2, 9)
    torch.testing.assert_close(compiled(xs, teacher), attention_map_distances(xs, teacher))


def test_opcheck(backend: str) -> None:
    xs = [x[:, 1:].unflatten(1, GRID) for x in tokens()]
    operator = torch.ops.tvtfast.attention_map_distances
    for size in ([3, 4], [2, 5]):
        teacher = torch.rand(3, size[0] * size[1])
        torch.library.opcheck(operator, (xs, teacher, size), {"backend": backend})


def test_wrong_arguments() -> None:
    x, teacher = torch.ones(2, 4, 3, 3), torch.rand(9)
    with pytest.raises(ValueError, match="xs is empty"):
        attention_map_distances([], teacher)
    with pytest.raises(ValueError, match=r"xs\[1\] has shape \(3, 4, 3, 3\).*channels only"):
        attention_map_distances([x, torch.ones(3, 4, 3, 3)], teacher)
    with pytest.raises(ValueError, match=r"xs\[1\] has shape \(2, 4, 9, 1\).*channels only"):
        attention_map_distances([x, x.reshape(2, 4, 9, 1)], teacher)
    with pytest.raises(ValueError, match=r"xs\[1\] is torch.float64.*float32"):
        attention_map_distances([x, x.double()], teacher)
    with pytest.raises(ValueError, match="8 positions"):
        attention_map_distances([x], torch.rand(8))
    with pytest.raises(kernels.BackendError, match="float64.*allowed: float32"):
        attention_map_distances([x.double()], teacher, backend="native")
    with pytest.raises(kernels.BackendError, match="tensors are float16, float32"):
        torch.ops.tvtfast.attention_map_distances(
            [x, x.half()], teacher[None], [4, 3], backend="native"
        )


def test_native_writes_its_outputs_and_nothing_else(native: str) -> None:
    from tvtfast import _C

    guard = 16
    buffer = torch.full((2 * guard + 4,), torch.nan)
    buffer[:guard] = buffer[-guard:] = 123.0
    xs, teacher = [torch.randn(2, 3, 4, c) for c in (5, 6)], torch.rand(1, 12)
    _C.attention_map_distances(
        [x.data_ptr() for x in xs],
        0,
        [x.shape for x in xs],
        [x.stride() for x in xs],
        GRID,
        teacher.data_ptr(),
        1,
        buffer.data_ptr() + guard * buffer.itemsize,
        2,
    )
    planes = [x.permute(0, 3, 1, 2) for x in xs]
    assert torch.equal(buffer[guard:-guard].view(2, 2), dense(planes, teacher[0]))
    assert (buffer[:guard] == 123).all() and (buffer[-guard:] == 123).all()
