"""A score of one network at a time, beside the plain loop: ``python -m bench.measure``.

`tvtfast.Measure` against the few lines that a host would write, and against `tvtfast.score` of that
one network, for models of timm with random weights. The ways take turns; medians of rounds are
printed. Their values are compared first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tvtfast
from bench.gradients import seconds
from bench.machine import machine
from tvtfast.models import CifarResNet
from tvtfast.models.timm_network import TimmNetwork

Way = Callable[[], float]


def norm_loop(net: nn.Module) -> float:
    """A plain loop over the weights."""
    with torch.no_grad():
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        return torch.stack([layer.weight.norm() for layer in layers]).sum().item()


@torch.no_grad()
def teacher_loop(net: nn.Module, teacher: nn.Module, images: Tensor) -> float:
    """Student and teacher run for every candidate, and their attention maps are compared."""

    def last(module: nn.Module, x: Tensor) -> Tensor:
        found: Tensor = module.eval().forward_intermediates(x, intermediates_only=True)[-1]  # type: ignore[operator]
        return found

    small = F.interpolate(images, size=(32, 32), mode="bilinear")
    student, guide = last(net, images), last(teacher, small)
    size = [max(sides) for sides in zip(student.shape[2:], guide.shape[2:], strict=True)]
    maps = [
        F.normalize(
            F.interpolate(x, size=size, mode="bilinear").pow(2).mean(1).flatten(1), eps=1e-12
        )
        for x in (student, guide)
    ]
    return -F.mse_loss(*maps).item()


def compare(name: str, net: nn.Module, proxy: str, ways: dict[str, Way], rounds: int) -> None:
    """Print one row."""
    values = [way() for way in ways.values()]
    np.testing.assert_allclose(values, values[0], rtol=1e-4)
    times = seconds(ways, rounds)
    ours = times["Measure"]
    each = " | ".join(f"{1e3 * times[way]:.2f}" for way in ways)
    print(
        f"| {name} | {proxy} | {each} | {ours / times['loop']:.2f} | "
        f"{times['score'] / ours:.1f} x |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.measure", description=__doc__)
    parser.add_argument(
        "--models",
        nargs="+",
        default=["vit_tiny_patch16_224", "vit_small_patch16_224", "swin_tiny_patch4_window7_224"],
    )
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rounds-of-weights", type=int, default=201)
    options = parser.parse_args()
    teacher = tvtfast.initialize_(CifarResNet(56, 100))
    guide = tvtfast.load_teacher(teacher, input_size=32)
    images = torch.randn(options.images, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    print(f"{machine()}, {torch.get_num_threads()} threads")
    print(f"\n{options.images} images of 224 x 224, teacher ResNet-56 at 32 x 32, fp32\n")
    print(
        "| model | proxy | plain loop, ms | Measure, ms | score of one, ms | Measure over the loop "
        "| Measure against score |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name in options.models:
        net = TimmNetwork(name, 100, {}).build()
        for proxy, loop in (
            ("weight_norm", lambda net=net: norm_loop(net)),
            ("teacher_aware", lambda net=net: teacher_loop(net, teacher, images)),
        ):
            asked = {"proxies": proxy, "teacher": guide if proxy == "teacher_aware" else None}
            measure = tvtfast.Measure(**asked)
            ways = {
                "loop": loop,
                "Measure": lambda net=net, measure=measure: measure(net, images),
                "score": lambda net=net, asked=asked, proxy=proxy: tvtfast.score(
                    [net], images=images, **asked
                )[proxy][0],
            }
            rounds = options.rounds_of_weights if proxy == "weight_norm" else options.rounds
            compare(name, net, proxy, ways, rounds)


if __name__ == "__main__":
    main()
