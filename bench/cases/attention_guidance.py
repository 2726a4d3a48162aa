"""The attention loss of distillation, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import normalize

from bench.case import Builder, Case, costs, together
from tvtfast.models import SpatialFeatures
from tvtfast.training.losses import AttentionGuidance

FORMS = ("pow/mean/normalize", "vector_norm", "torch.compile")

GUIDED_GRID, GUIDED_WIDTH, STAGES = (14, 14), 192, ((16, 32), (32, 16), (64, 8))

Map = Callable[[Tensor], Tensor]


def published_map(x: Tensor) -> Tensor:
    return normalize(x.pow(2).mean(1).flatten(1))


def eager_map(x: Tensor) -> Tensor:
    """No squared copy of the features."""
    return normalize(torch.linalg.vector_norm(x, dim=1).flatten(1).square())


def eager_guidance(tokens: list[Tensor], stages: list[Tensor], form: Map) -> Tensor:
    """Resize both sides to the larger, then compare their maps."""
    total = tokens[0].new_zeros(())
    for x, stage in zip(tokens, stages, strict=True):
        features = x[:, 1:].transpose(1, 2).unflatten(2, GUIDED_GRID)
        size = (max(GUIDED_GRID[0], stage.shape[2]), max(GUIDED_GRID[1], stage.shape[3]))
        student, teacher = (
            form(F.interpolate(f, size=size, mode="bilinear")) for f in (features, stage)
        )
        total = total + F.mse_loss(student, teacher)
    return total


@cache
def compiled_guidance() -> Callable[[list[Tensor], list[Tensor], Map], Tensor]:
    return torch.compile(eager_guidance)


def call_costs(tokens: list[Tensor], stages: list[Tensor]) -> tuple[int, int]:
    """Of the operators of every pair: the teacher's map, the distance and its gradient."""
    calls = []
    for x, stage in zip(tokens, stages, strict=True):
        student, teacher = x[:, 1:].unflatten(1, GUIDED_GRID), stage.permute(0, 2, 3, 1)
        size = [max(sides) for sides in zip(GUIDED_GRID, teacher.shape[1:3], strict=True)]
        maps = x.new_empty(len(x), size[0] * size[1])
        calls += [
            costs("attention_map", teacher, size),
            costs("attention_map_distance", student, maps, size),
            costs("attention_map_backward", student, maps, maps[:, 0], maps, size),
        ]
    return together(*calls)


def case(device: str, images: int) -> Case:
    """Three blocks of a student on 14 x 14 patches against the three stages of a CIFAR ResNet on 32
    x 32 images, the published pairs; every form computes the teacher's maps, too."""
    tokens = [
        torch.randn(images, 1 + GUIDED_GRID[0] * GUIDED_GRID[1], GUIDED_WIDTH, device=device)
        for _ in STAGES
    ]
    stages = [torch.randn(images, width, side, side, device=device) for width, side in STAGES]
    for x in tokens:
        x.requires_grad_()
    guidance = AttentionGuidance([(pair, pair) for pair in range(len(STAGES))])

    def ours() -> Tensor:
        student = [SpatialFeatures(x, GUIDED_GRID, 1) for x in tokens]
        return guidance(student, [SpatialFeatures(x) for x in stages])

    forms: dict[str, Callable[[], Tensor]] = {
        "pow/mean/normalize": lambda: eager_guidance(tokens, stages, published_map),
        "vector_norm": lambda: eager_guidance(tokens, stages, eager_map),
        "torch.compile": lambda: compiled_guidance()(tokens, stages, published_map),
    }

    def measured(form: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(form(), tokens)

    def check() -> None:
        doubles = [x.detach().double().requires_grad_() for x in tokens]
        exact = eager_guidance(doubles, [x.double() for x in stages], published_map)
        torch.testing.assert_close(ours().double(), exact, rtol=1e-5, atol=0)
        for actual, expected in zip(
            torch.autograd.grad(ours(), tokens),
            torch.autograd.grad(exact, doubles),
            strict=True,
        ):
            error = (actual.double() - expected).abs().max()
            assert error <= 1e-4 * expected.abs().max(), error.item()

    return Case(
        "attention_guidance",
        f"{images} images, 3 pairs, forward+backward",
        measured(ours),
        {name: measured(form) for name, form in forms.items()},
        check,
        *call_costs(tokens, stages),
    )


def cases(device: str) -> dict[str, Builder]:
    return {"64-images": partial(case, device, 64)}
