"""Compiled kernels of attention maps and their gradient."""

from __future__ import annotations

import pytest
import torch

from .compiling import (
    DTYPES,
    Compiled,
    arguments_of,
    attention_map,
    attention_map_backward,
    features,
    gram,
    vector_loads,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize("grid", (14, 56))
def test_attention_map(compiled: Compiled, dtype: torch.dtype, layout: str, grid: int) -> None:
    x = features(dtype, layout, grid, 216)
    teacher = torch.empty(1, grid * grid)
    _, values, norm = attention_map.distance(
        arguments_of("attention_map_distance", x, teacher, (grid, grid))
    )
    attention_map_backward.backward(
        arguments_of("attention_map_backward", x, values, norm, values, (grid, grid))
    )
    # Positions of NCHW features need not be a whole number of vectors.
    if layout == "tokens" or grid * grid * dtype.itemsize % 16 == 0:
        assert vector_loads(compiled.ptx("_map_kernel"))
        assert vector_loads(compiled.ptx("_gradient_kernel"))
    assert len(compiled["_normalise_kernel"]) == (grid * grid > attention_map.ONE_PROGRAM)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize(("grid", "size"), [(8, 14), (8, 32)])
def test_resized_attention_map(
    compiled: Compiled, dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    x = features(dtype, layout, grid, 216)
    values, norm = attention_map.forward(arguments_of("attention_map", x, (size, size)))
    attention_map_backward.backward(
        arguments_of("attention_map_backward", x, values, norm, values, (size, size))
    )
    if layout == "tokens":
        # The tile of many positions has four channels: 16 bytes in fp32 alone.
        assert vector_loads(compiled.ptx("_map_kernel")) or size == 32
        assert vector_loads(compiled.ptx("_gradient_kernel"))


def test_attention_map_of_one_channel(compiled: Compiled) -> None:
    x = features(torch.bfloat16, "tokens", 14, 1)
    for size in ((14, 14), (9, 9)):
        values, norm = attention_map.forward(arguments_of("attention_map", x, size))
        attention_map_backward.backward(
            arguments_of("attention_map_backward", x, values, norm, values, size)
        )


def test_widths_share_one_kernel(compiled: Compiled) -> None:
    """Candidates differ in width; every new width must not cost a compilation."""
    for channels in (192, 216, 240, 256):
        attention_map.forward(
            arguments_of(
                "attention_map", features(torch.bfloat16, "tokens", 14, channels), (14, 14)
            )
        )
        gram.forward(
            arguments_of(
                "gram", torch.empty(1, 32, 196 * channels, dtype=torch.bfloat16), None, False
            )
        )
    for name in ("_map_kernel", "_span_kernel"):
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name
