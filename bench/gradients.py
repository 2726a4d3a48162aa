"""What scores of gradients cost per candidate: ``python -m bench.gradients``.

Three ways with equal scores: a loop as published code runs it, which builds and differentiates a
network per candidate and proxy; a loop that differentiates each candidate once; and
`tvtfast.score`, which draws the weights of all candidates once, too. Then the weight draws of one
architecture, one by one and stacked by ``torch.func.vmap``.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import tvtfast
from bench.__main__ import machine
from tvtfast import spaces

Scores = dict[str, list[float]]
_CLASSES = 10
_SPACE = "autoformer-tiny"


def _weights(module: nn.Module) -> list[Tensor]:
    return [m.weight for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def _grads(module: nn.Module) -> list[Tensor]:
    return [weight.grad for weight in _weights(module) if weight.grad is not None]


def _fisher(module: nn.Module) -> Tensor:
    """Half the mean over images of the squared sums of outputs times their gradients."""
    total = torch.zeros((), dtype=torch.float64)
    for part in module.modules():
        output = getattr(part, "seen", None)
        if output is not None:
            channels = (output * output.grad).movedim(1 if output.ndim == 4 else -1, -1)
            by_image = channels.flatten(1, -2).sum(1) if channels.ndim > 2 else channels
            total += by_image.double().square().sum() / (2 * len(output))
    return total


def _keep(part: nn.Module, inputs: object, output: Tensor) -> None:
    output.retain_grad()
    part.seen = output


FORMULAS: Mapping[str, Callable[[nn.Module], Tensor]] = {
    "fisher": _fisher,
    "grad_norm": lambda m: torch.stack([g.norm() for g in _grads(m)]).sum(),
    "plain": lambda m: torch.stack(
        [(w * g).sum() for w, g in zip(_weights(m), _grads(m), strict=True)]
    ).sum(),
    "snip": lambda m: torch.stack(
        [(w * g).abs().sum() for w, g in zip(_weights(m), _grads(m), strict=True)]
    ).sum(),
}


class Work:
    """Candidates, images and labels of one measurement.

    Args:
        candidates: How many.
        images: Of a batch.
        patch_size: Of the candidates.
    """

    def __init__(self, candidates: int, images: int, patch_size: int) -> None:
        self.space = spaces.get(_SPACE)
        self.archs = self.space.sample(candidates, 0)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(images, 3, 32, 32, generator=generator)
        self.labels = torch.randint(_CLASSES, (images,), generator=generator)
        self.options = {"img_size": 32, "patch_size": patch_size, "num_classes": _CLASSES}

    def differentiated(self, arch: Any, names: Sequence[str], seed: int = 0) -> nn.Module:
        """A network with gradients, of its layers' outputs too where a formula reads them."""
        module = tvtfast.build(arch, space=self.space, seed=seed, **self.options)
        if "fisher" in names:
            for part in module.modules():
                if isinstance(part, (nn.Conv2d, nn.Linear)):
                    part.register_forward_hook(_keep)
        F.cross_entropy(module(self.images), self.labels).backward()
        return module

    def published(self, names: Sequence[str]) -> Scores:
        """A network per candidate and proxy."""
        return {
            name: [FORMULAS[name](self.differentiated(arch, [name])).item() for arch in self.archs]
            for name in names
        }

    def one_pass(self, names: Sequence[str]) -> Scores:
        """A network per candidate."""
        found: Scores = {name: [] for name in names}
        for arch in self.archs:
            module = self.differentiated(arch, names)
            for name in names:
                found[name].append(FORMULAS[name](module).item())
        return found

    def scored(self, names: Sequence[str]) -> Scores:
        """`tvtfast.score`."""
        table = tvtfast.score(
            self.archs,
            space=self.space,
            proxies=list(names),
            images=self.images,
            labels=self.labels,
            **self.options,
        ).to_pandas()
        return {name: table[name].tolist() for name in names}

    def draws(self, number: int) -> list[float]:
        """``snip`` of weight draws of one architecture, one by one."""
        return [
            FORMULAS["snip"](self.differentiated(self.archs[0], ["snip"], seed)).item()
            for seed in range(number)
        ]

    def stacked_draws(self, number: int) -> list[float]:
        """The same from one backward pass over stacked weights."""
        modules = [
            tvtfast.build(self.archs[0], space=self.space, seed=seed, **self.options)
            for seed in range(number)
        ]
        state, _ = torch.func.stack_module_state(modules)  # type: ignore[arg-type]
        names = [
            f"{name}.weight"
            for name, m in modules[0].named_modules()
            if isinstance(m, (nn.Conv2d, nn.Linear))
        ]

        def loss(weights: dict[str, Tensor], others: dict[str, Tensor]) -> Tensor:
            logits = torch.func.functional_call(modules[0], weights | others, (self.images,))
            return F.cross_entropy(logits, self.labels)

        weights = {name: state.pop(name).detach() for name in names}
        with sdpa_kernel(SDPBackend.MATH):  # the fused forms know no vmap
            gradients = torch.func.vmap(torch.func.grad(loss))(weights, state)
        sums = [
            (weights[name] * gradients[name]).abs().flatten(1).double().sum(1) for name in names
        ]
        return torch.stack(sums).sum(dim=0).tolist()


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""Time that passes, and time of all threads of this process, in which nothing else counts."""


def seconds(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median time of every way, run in turns after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name in random.sample(list(ways), len(ways)):
            begin = clock()
            ways[name]()
            if round_:
                taken[name].append(clock() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def loops(options: argparse.Namespace) -> None:
    """Print the table of ways."""
    print(
        "\n| patch | proxies | network per proxy, ms | network per candidate, ms | tvtfast, ms | "
        "of a network per proxy | of one per candidate |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for patch in options.patch_sizes:
        work = Work(options.candidates, options.images, patch)
        for names in (("snip",), tuple(FORMULAS)):
            truth = work.published(names)
            for found in (work.one_pass(names), work.scored(names)):
                for name in names:
                    np.testing.assert_allclose(found[name], truth[name], rtol=2e-3, atol=1e-4)
            times = seconds(
                {
                    "published": lambda work=work, names=names: work.published(names),
                    "one pass": lambda work=work, names=names: work.one_pass(names),
                    "tvtfast": lambda work=work, names=names: work.scored(names),
                },
                options.rounds,
                CLOCKS[options.clock],
            )
            each = {name: 1e3 * taken / len(work.archs) for name, taken in times.items()}
            ours = each["tvtfast"]
            print(
                f"| {patch} | {', '.join(names)} | {each['published']:.0f} | "
                f"{each['one pass']:.0f} | {ours:.0f} | {each['published'] / ours:.2f} x | "
                f"{each['one pass'] / ours:.2f} x |",
                flush=True,
            )


def stacks(options: argparse.Namespace) -> None:
    """Print the table of stacked weight draws."""
    number = options.draws
    print(
        f"\n| patch | {number} draws one by one, ms a draw | stacked, ms a draw | ratio |\n"
        "| --- | --- | --- | --- |"
    )
    for patch in options.patch_sizes:
        work = Work(1, options.images, patch)
        np.testing.assert_allclose(work.stacked_draws(number), work.draws(number), rtol=2e-3)
        times = seconds(
            {
                "alone": lambda work=work: work.draws(number),
                "stacked": lambda work=work: work.stacked_draws(number),
            },
            options.rounds,
            CLOCKS[options.clock],
        )
        alone, stacked = (1e3 * times[name] / number for name in ("alone", "stacked"))
        print(f"| {patch} | {alone:.0f} | {stacked:.0f} | {alone / stacked:.2f} x |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gradients", description=__doc__)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--patch-sizes", type=int, nargs="+", default=[16, 8, 4])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu where other work shares the machine"
    )
    options = parser.parse_args()
    print(machine())
    print(
        f"\n{_SPACE}, {options.candidates} candidates, {options.images} images of 32 x 32, fp32, "
        f"medians of {options.rounds} rounds, {options.clock} time"
    )
    loops(options)
    stacks(options)


if __name__ == "__main__":
    main()
