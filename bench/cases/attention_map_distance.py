"""Distance of one tensor of features to a teacher's map."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bench.case import Builder, Case, buffers_needed, costs, need_memory, together
from bench.cases.forms import (
    GRIDS,
    WIDTHS,
    as_features,
    eager_distance,
    published_distance,
    random_teacher,
)
from bench.targets import Target
from tvtfast import kernels

FORMS = ("pow/mean/normalize", "vector_norm", "torch.compile")
TARGETS = {"64-candidates": Target(share=0.85, speedup={"pow/mean/normalize": 5})}
CHECKED = 64  # images


def call_costs(x: Tensor, teacher: Tensor, backward: bool) -> tuple[int, int]:
    """Of the distance, and of the operator that its derivative calls."""
    size = x.shape[1:3]
    forward = costs("attention_map_distance", x, teacher, size)
    if not backward:
        return forward
    gradient = costs("attention_map_backward", x, teacher, teacher[:, 0], teacher, size)
    return together(forward, gradient)


def case(
    device: str,
    layout: str,
    backward: bool,
    cold: bool,
    *,
    grid: int = 14,
    channels: int = 192,
    images: int = 64,
    dtype: torch.dtype = torch.float32,
) -> Case:
    nbytes = images * grid**2 * channels * dtype.itemsize
    need_memory(device, 8 * nbytes)
    shape = (grid**2, channels) if layout == "tokens" else (channels, grid, grid)
    inputs = [
        torch.randn(images, *shape, device=device).to(dtype).requires_grad_(backward)
        for _ in range(buffers_needed(device, cold, nbytes))
    ]
    turns = itertools.cycle(inputs)
    teacher = random_teacher(images, grid**2, device)

    def features(x: Tensor) -> Tensor:
        return as_features(x, grid) if layout == "tokens" else x

    def ours(x: Tensor) -> Tensor:
        if layout == "tokens":
            return kernels.attention_map_distance(x, teacher, grid=(grid, grid))
        return kernels.attention_map_distance(x, teacher)

    def measured(form: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        def run() -> object:
            x = next(turns)
            distance = form(x)
            return torch.autograd.grad(distance.sum(), x) if backward else distance

        return run

    def check() -> None:
        few = features(inputs[0].detach()[:CHECKED].double())
        exact = published_distance(few, teacher[:CHECKED].double())
        actual = ours(inputs[0])[:CHECKED].double()
        torch.testing.assert_close(actual, exact, rtol=1e-5, atol=0)

    torch._dynamo.reset()
    compiled = torch.compile(published_distance, dynamic=False)
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "pow/mean/normalize": lambda x: published_distance(features(x), teacher),
        "vector_norm": lambda x: eager_distance(features(x), teacher),
        "torch.compile": lambda x: compiled(features(x), teacher),
    }
    direction = "forward+backward" if backward else "forward"
    kind = "" if dtype == torch.float32 else f" {str(dtype).removeprefix('torch.')}"
    return Case(
        "attention_map_distance",
        f"{images}x{grid**2}x{channels}{kind} {layout} {direction} {'cold' if cold else 'warm'}",
        measured(ours),
        {name: measured(form) for name, form in forms.items()},
        check,
        *call_costs(
            torch.empty(images, grid, grid, channels, dtype=dtype, device="meta"), teacher, backward
        ),
        cold=cold,
    )


def cases(device: str) -> dict[str, Builder]:
    found: dict[str, Builder] = {
        f"{layout}-{'backward' if backward else 'forward'}-{'cold' if cold else 'warm'}": partial(
            case, device, layout, backward, cold
        )
        for layout in ("tokens", "features")
        for backward in (False, True)
        for cold in (False, True)
    }
    for model, channels in WIDTHS.items():
        for tokens, grid in GRIDS.items():
            if (model, tokens) != ("ViT-Ti", 197):
                found[f"{model}-{tokens}"] = partial(
                    case, device, "tokens", False, True, grid=grid, channels=channels
                )
    if device == "cuda":
        for candidates in (64, 1000):
            found[f"{candidates}-candidates"] = partial(
                case,
                device,
                "tokens",
                False,
                True,
                channels=216,
                images=64 * candidates,
                dtype=torch.bfloat16,
            )
    return found
