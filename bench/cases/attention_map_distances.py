"""Distances of candidates of different widths to one teacher's map."""

from __future__ import annotations

import itertools
from functools import partial

import torch
from torch import Tensor

from bench.case import Builder, Case, costs, need_memory
from bench.cases.forms import as_features, eager_distance, published_distance, random_teacher
from tvtfast import kernels

FORMS = ("one by one", "pow/mean/normalize", "vector_norm")
GRID = 14
WIDTHS = (192, 216, 240)


def case(device: str, candidates: int, images: int, dtype: torch.dtype) -> Case:
    widths = list(itertools.islice(itertools.cycle(WIDTHS), candidates))
    nbytes = images * GRID**2 * sum(widths) * dtype.itemsize
    need_memory(device, 2 * nbytes)
    teacher = random_teacher(images, GRID**2, device)
    xs = [torch.randn(images, GRID**2, width, device=device).to(dtype) for width in widths]

    def ours() -> Tensor:
        return kernels.attention_map_distances(xs, teacher, grid=(GRID, GRID))

    def check() -> None:
        for x, actual in zip(xs[:3], ours(), strict=False):
            exact = published_distance(as_features(x.double(), GRID), teacher.double())
            torch.testing.assert_close(actual.double(), exact, rtol=1e-5, atol=0)

    return Case(
        "attention_map_distances",
        f"{candidates} candidates, {images}x{GRID**2}x{WIDTHS[0]} to {WIDTHS[-1]}"
        f" {str(dtype).removeprefix('torch.')}",
        ours,
        {
            "one by one": lambda: [
                kernels.attention_map_distance(x, teacher, grid=(GRID, GRID)) for x in xs
            ],
            "pow/mean/normalize": lambda: [
                published_distance(as_features(x, GRID), teacher) for x in xs
            ],
            "vector_norm": lambda: [eager_distance(as_features(x, GRID), teacher) for x in xs],
        },
        check,
        *costs(
            "attention_map_distances",
            [x.unflatten(1, (GRID, GRID)) for x in xs],
            teacher,
            (GRID, GRID),
        ),
        cold=True,
    )


def cases(device: str) -> dict[str, Builder]:
    if device == "cpu":
        return {
            f"64-of-{images}": partial(case, device, 64, images, torch.float32)
            for images in (1, 32)
        }
    return {
        f"{candidates}-of-64": partial(case, device, candidates, 64, torch.bfloat16)
        for candidates in (64, 1000)
    }
