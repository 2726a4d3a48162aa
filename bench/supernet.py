"""What sharing weights costs: a superformer's step beside that of the subnet built alone.

``python -m bench.supernet``: forward, backward and AdamW, in turns, on the same images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.machine import machine
from tvtfast.spaces import get as get_space
from tvtfast.supernet import SHARING, SUPERFORMER_RECIPE, Superformer, cut_out

CELL = {
    "patch_size": 16,
    "embed_dim": 230,
    "depth": 12,
    "num_heads": [3] * 12,
    "qkv_dim": [432] * 12,
    "mlp_dim": [720] * 12,
}
"""The released architecture of 1.3 billion multiply-adds."""


def stepper(module: nn.Module, run: Callable[[Tensor], Any]) -> Callable[[Tensor, Tensor], None]:
    """A training step of some parameters."""
    optimizer = SUPERFORMER_RECIPE.build_optimizer(module)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(run(images), labels).backward()
        optimizer.step()

    return step


def seconds(step: Callable[[], None]) -> float:
    """Time of one call."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.supernet", description=__doc__)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    space: Any = get_space("vitas-deit")
    arch = space.decode(CELL)
    side = options.img_size
    images = torch.randn(options.batch_size, 3, side, side)
    labels = torch.arange(options.batch_size) % 100
    print(machine())
    print(
        f"\nOne step of the released 1.3G cell, {options.batch_size} images of {side} x {side}, "
        f"fp32, AdamW; medians of {options.rounds} rounds in turns\n\n"
        "| sharing | subnet alone, ms | in the superformer, ms | ratio |\n"
        "| --- | --- | --- | --- |"
    )
    for sharing in SHARING:
        superformer = Superformer(space, sharing=sharing, img_size=side, num_classes=100).train()
        alone = [cut_out(superformer, arch, side=s).train() for s in range(superformer.sides)]
        shared = stepper(superformer, lambda x, model=superformer: model(x, arch))
        single = stepper(
            nn.ModuleList(alone), lambda x, models=alone: sum(model(x) for model in models)
        )
        times: dict[Any, list[float]] = {single: [], shared: []}
        for number in range(options.rounds + 1):
            for step, found in times.items():
                took = seconds(lambda step=step: step(images, labels))
                if number:
                    found.append(took)
        one, other = (1e3 * median(times[step]) for step in (single, shared))
        ratio = median(b / a for a, b in zip(times[single], times[shared], strict=True))
        print(f"| {sharing} | {one:.0f} | {other:.0f} | {ratio:.2f} |", flush=True)
    print(
        "\n`bilateral` runs both sides in one step; beside it stand both subnets built alone. The "
        "ratio is the median of those of the rounds."
    )


if __name__ == "__main__":
    main()
