"""Operators, shapes and baselines that are measured; every result is checked before it is timed.

Buffers rotate where a case says *cold*: each call, of whichever form, takes the next one, so it
reads memory that was last touched more than a last-level cache ago.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tvtfast import kernels
from tvtfast._torchvision import ensure_torchvision

COLD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Case:
    """One operator on one shape.

    Attributes:
        operator: What is measured.
        shape: The shape, and whether memory is cold.
        ours: The call that is measured.
        baselines: What it is compared with, by name.
        check: Raises ``AssertionError`` where a result is wrong.
        bytes: Bytes one call must read and write.
    """

    operator: str
    shape: str
    ours: Callable[[], object]
    baselines: dict[str, Callable[[], object]]
    check: Callable[[], None]
    bytes: int = field(default=0)

    @property
    def label(self) -> str:
        return f"{self.operator} {self.shape}"


def published_distance(x: Tensor, teacher: Tensor) -> Tensor:
    """The form of the published code: pow, mean, normalize."""
    return (teacher - normalize(x.pow(2).mean(1).view(x.size(0), -1))).pow(2).mean(-1)


def eager_distance(x: Tensor, teacher: Tensor) -> Tensor:
    """The best eager form found: one fused norm over channels, no squared copy."""
    squares = torch.linalg.vector_norm(x, dim=1).flatten(1).square()
    return (teacher - normalize(squares)).square().mean(-1)


@cache
def compiled_distance() -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(published_distance)


def attention_map_distance_case(layout: str, cold: bool, backward: bool) -> Case:
    images, grid, channels = 64, 14, 192
    count = -(-COLD_BYTES // (images * grid**2 * channels * 4)) if cold else 1
    teacher = normalize(torch.rand(images, grid**2))
    if layout == "tokens":
        inputs = [torch.randn(images, grid**2, channels) for _ in range(count)]
    else:
        inputs = [torch.randn(images, channels, grid, grid) for _ in range(count)]
    for x in inputs:
        x.requires_grad_(backward)
    turns = itertools.cycle(inputs)

    def features(x: Tensor) -> Tensor:
        return x.transpose(1, 2).unflatten(2, (grid, grid)) if layout == "tokens" else x

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
        exact = published_distance(features(inputs[0].detach().double()), teacher.double())
        torch.testing.assert_close(ours(inputs[0]).double(), exact, rtol=1e-5, atol=0)

    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "pow/mean/normalize": lambda x: published_distance(features(x), teacher),
        "vector_norm": lambda x: eager_distance(features(x), teacher),
        "torch.compile": lambda x: compiled_distance()(features(x), teacher),
    }
    direction = "forward+backward" if backward else "forward"
    return Case(
        "attention_map_distance",
        f"{images}x{grid**2}x{channels} {layout} {direction} {'cold' if cold else 'warm'}",
        measured(ours),
        {name: measured(form) for name, form in forms.items()},
        check,
        inputs[0].nbytes * (3 if backward else 1),
    )


@cache
def vit_tiny_shapes() -> tuple[torch.Size, ...]:
    ensure_torchvision()
    import timm

    with torch.device("meta"):
        model = timm.create_model("vit_tiny_patch16_224")
    return tuple(parameter.shape for parameter in model.parameters())


def segment_norms_case(models: int, packed: bool) -> Case:
    tensors = [torch.randn(shape) for _ in range(models) for shape in vit_tiny_shapes()]
    segments = kernels.pack_segments(tensors) if packed else tensors

    def check() -> None:
        exact = torch.stack([tensor.double().norm() for tensor in tensors])
        torch.testing.assert_close(
            kernels.segment_norms(segments).double(), exact, rtol=2e-7, atol=0
        )

    return Case(
        "segment_norms",
        f"{models} ViT-Ti, {len(tensors)} tensors, {'packed' if packed else 'list'}",
        lambda: kernels.segment_norms(segments),
        {
            ".norm() loop": lambda: [tensor.norm() for tensor in tensors],
            "_foreach_norm": lambda: torch._foreach_norm(tensors),
        },
        check,
        sum(tensor.nbytes for tensor in tensors),
    )


def slice_norms_case() -> Case:
    weight = torch.randn(1024, 1024)
    widths = (192, 216, 240, 320, 384, 448, 528, 576, 624, 1024)
    sizes = torch.tensor(list(itertools.product(widths, widths)))
    pairs = sizes.tolist()

    def check() -> None:
        exact = torch.stack([weight[:o, :i].double().norm() for o, i in pairs])
        actual = kernels.slice_norms(weight, sizes)
        torch.testing.assert_close(actual.double(), exact, rtol=2e-7, atol=0)

    def loop() -> list[Tensor]:
        return [weight[:o, :i].norm() for o, i in pairs]

    def table() -> Tensor:
        sums = weight.square().cumsum(0).cumsum(1)
        return sums[sizes[:, 0] - 1, sizes[:, 1] - 1].sqrt()

    return Case(
        "slice_norms",
        f"1024x1024, {len(pairs)} slices",
        lambda: kernels.slice_norms(weight, sizes),
        {".norm() loop": loop, "cumsum table": table},
        check,
        weight.nbytes,
    )


def indexed_case(kind: str) -> Case:
    tensor = torch.empty(768, 3072)
    if kind == "normal":
        fill, baseline = kernels.indexed_normal_, torch.Tensor.normal_
    else:
        fill, baseline = kernels.indexed_uniform_, torch.Tensor.uniform_

    def check() -> None:
        reference = fill(torch.empty(99, 101), seed=3, name="w", backend="reference")
        assert torch.equal(fill(torch.empty(768, 3072), seed=3, name="w")[:99, :101], reference)

    return Case(
        f"indexed_{kind}_",
        "768x3072",
        lambda: fill(tensor, seed=3, name="w"),
        {"torch": lambda: baseline(tensor)},
        check,
        tensor.nbytes,
    )


FORMS = {
    "attention_map_distance": ("pow/mean/normalize", "vector_norm", "torch.compile"),
    "segment_norms": (".norm() loop", "_foreach_norm"),
    "slice_norms": (".norm() loop", "cumsum table"),
    "indexed": ("torch",),
}
"""Names of the baselines of every group of cases."""


def builders() -> dict[str, dict[str, Callable[[], Case]]]:
    """Functions that build the cases of every group, by name; building one allocates its memory."""
    distances = {
        f"{layout}-{'backward' if backward else 'forward'}-{'cold' if cold else 'warm'}": partial(
            attention_map_distance_case, layout, cold, backward
        )
        for layout in ("tokens", "features")
        for backward in (False, True)
        for cold in (False, True)
    }
    segments = {
        f"{models}-{'packed' if packed else 'list'}": partial(segment_norms_case, models, packed)
        for models in (1, 64)
        for packed in (True, False)
    }
    return {
        "attention_map_distance": distances,
        "segment_norms": segments,
        "slice_norms": {"100-slices": slice_norms_case},
        "indexed": {kind: partial(indexed_case, kind) for kind in ("normal", "uniform")},
    }
