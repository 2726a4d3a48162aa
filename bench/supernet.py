"""What sharing weights costs, and what it saves.

``python -m bench.supernet --part steps``: a training step of a superformer (forward, backward and
AdamW) beside that of the subnet built alone. ``--part generations``: the forward passes of one
generation of a search, candidates that begin alike together beside one by one. Either in turns, on
the same images; default both.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tvtfast
from bench.machine import machine
from tvtfast.proxies import Proxy, ProxyInputs
from tvtfast.spaces import get as get_space
from tvtfast.strategies import NSGA2, Evolution, Strategy, name_of
from tvtfast.supernet import SHARING, SUPERFORMER_RECIPE, Superformer, cut_out
from tvtfast.supernet.relatives import Relatives

SPACE = "vitas-deit"
RELATIVES = 24
MAX_FLOPS = 4e9

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


def steps(options: argparse.Namespace) -> None:
    """Print the table of training steps."""
    space: Any = get_space(SPACE)
    arch = space.decode(CELL)
    side = options.img_size
    images = torch.randn(options.batch_size, 3, side, side)
    labels = torch.arange(options.batch_size) % 100
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


def generation(strategy: Strategy, number: int, img_size: int) -> list[Any]:
    """What a strategy proposes in its n-th generation, where every decision adds a random amount to
    the score: a search whose relatives resemble those of a real one, without a trained
    superformer."""
    space: Any = get_space(SPACE)
    rng = random.Random(0)
    worth = [[rng.gauss(0, 1) for _ in variable.choices] for variable in space.variables]

    def score(inputs: ProxyInputs) -> float:
        return sum(map(list.__getitem__, worth, space.choices_of(inputs.arch)))

    result = tvtfast.search(
        space,
        strategy=strategy,
        trials=number * RELATIVES,
        constraints={"flops": (None, MAX_FLOPS)},
        proxies=[Proxy("worth", score)],
        img_size=img_size,
    )
    return result.table.candidates[-RELATIVES:]


@torch.no_grad()
def generations(options: argparse.Namespace) -> None:
    """Print the table of generations."""
    side = options.img_size
    images = torch.randn(options.batch_size, 3, side, side)
    model = Superformer(SPACE, img_size=side, num_classes=100).eval()
    print(
        f"\nForward passes of {RELATIVES} candidates of one generation, at most "
        f"{MAX_FLOPS / 1e9:g} GFLOPs each, {options.batch_size} images of {side} x {side}, fp32; "
        f"medians of {options.rounds} rounds in turns\n\n"
        "| strategy | generation | links | different ones | one by one, ms | together, ms | "
        "ratio |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for strategy in (Evolution(population=RELATIVES), NSGA2(population=RELATIVES)):
        for number in (5, 20):
            archs = generation(strategy, number, side)

            def one_by_one(archs: list[Any] = archs) -> None:
                for arch in archs:
                    model(images, arch, 0)

            relatives = Relatives(model, archs)

            def together(relatives: Relatives = relatives) -> None:
                for _ in relatives.logits(images):
                    pass

            times: dict[Callable[[], None], list[float]] = {one_by_one: [], together: []}
            for round_number in range(options.rounds + 1):
                for run, found in times.items():
                    took = seconds(run)
                    if round_number:
                        found.append(took)
            alone, shared = (1e3 * median(found) for found in times.values())
            ratio = median(b / a for a, b in zip(*times.values(), strict=True))
            links = sum(map(len, map(model.space.genes, archs)))
            print(
                f"| {name_of(strategy)} | {number} | {links} | {len(relatives)} | "
                f"{alone:.0f} | {shared:.0f} | {ratio:.2f} |",
                flush=True,
            )


PARTS = {"steps": steps, "generations": generations}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.supernet", description=__doc__)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--img-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine())
    for name, part in PARTS.items():
        if options.part in (None, name):
            part(options)


if __name__ == "__main__":
    main()
