"""Norms of all layers of all candidates."""

from __future__ import annotations

from functools import cache, partial

import torch

from bench.case import Builder, Case, costs, need_memory
from bench.targets import Target
from tvtfast import kernels
from tvtfast.common.torchvision import ensure_torchvision

FORMS = (".norm() loop", "_foreach_norm")
TARGETS = {"ViT-Ti-64-packed": Target(share=0.8, speedup={".norm() loop": 20, "_foreach_norm": 3})}
MODELS = {"ViT-Ti": "vit_tiny_patch16_224", "ViT-S": "vit_small_patch16_224"}


@cache
def shapes(model: str) -> tuple[torch.Size, ...]:
    ensure_torchvision()
    import timm

    with torch.device("meta"):
        return tuple(p.shape for p in timm.create_model(MODELS[model]).parameters())


def case(device: str, model: str, candidates: int, packed: bool) -> Case:
    nbytes = 4 * candidates * sum(shape.numel() for shape in shapes(model))
    need_memory(device, 2 * nbytes)
    tensors = [
        torch.randn(shape, device=device) for _ in range(candidates) for shape in shapes(model)
    ]
    segments = kernels.pack_segments(tensors) if packed else tensors

    def check() -> None:
        exact = torch.stack([tensor.double().norm() for tensor in tensors])
        torch.testing.assert_close(
            kernels.segment_norms(segments).double(), exact, rtol=2e-7, atol=0
        )

    return Case(
        "segment_norms",
        f"{candidates} {model}, {len(tensors)} tensors, {'packed' if packed else 'list'}",
        lambda: kernels.segment_norms(segments),
        {
            ".norm() loop": lambda: [tensor.norm() for tensor in tensors],
            "_foreach_norm": lambda: torch._foreach_norm(tensors),
        },
        check,
        *costs("segment_norms", tensors),
        cold=candidates > 1,
    )


def cases(device: str) -> dict[str, Builder]:
    populations = [("ViT-Ti", 1), ("ViT-Ti", 64), ("ViT-S", 1)]
    if device == "cuda":
        populations += [("ViT-S", 64), ("ViT-Ti", 1000)]
    return {
        f"{model}-{candidates}-{'packed' if packed else 'list'}": partial(
            case, device, model, candidates, packed
        )
        for model, candidates in populations
        for packed in (True, False)
    }
