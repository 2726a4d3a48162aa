"""Compiled kernels of distances of candidates that differ in width."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from .compiling import (
    DTYPES,
    Compiled,
    arguments_of,
    attention_map,
    attention_map_distances,
    features,
    vector_loads,
)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14)])
def test_attention_map_distances(
    compiled: Compiled, dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    """One launch for all widths, whose sums are laid out, and so rounded, as in the dense form."""
    xs = [features(dtype, layout, grid, channels) for channels in (192, 216, 240)]
    teacher = torch.empty(1, size * size)
    attention_map_distances.distances(
        arguments_of("attention_map_distances", xs, teacher, (size, size))
    )
    attention_map.distance(arguments_of("attention_map_distance", xs[1], teacher, (size, size)))
    if layout == "tokens":
        assert vector_loads(compiled.ptx("_distance_kernel"))
    (ragged,), (dense,) = compiled["_distance_kernel"], compiled["_map_kernel"]
    assert reductions(ragged) == reductions(dense)


def reductions(kernel: Any) -> list[str]:
    """Shape and layout of whatever is summed, in order."""
    text = kernel.asm["ttgir"]
    layouts = dict(re.findall(r"^(#\w+) = (#ttg\.\w+<.*>)$", text, re.MULTILINE))
    summed = re.findall(r"tt\.reduce.*?\}\) : \(tensor<(.*?)>\) ->", text, re.DOTALL)
    assert summed
    return [re.sub(r"#\w+", lambda name: layouts.get(name[0], name[0]), one) for one in summed]
