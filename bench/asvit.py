"""As-ViT's two scores beside the published forms: ``python -m bench.asvit``.

One topology, five draws of weights, images of 224 x 224, all in one run; forms take turns in random
order and medians are printed. The published forms are timed on some of their backward passes
and scaled to all of them. A second table has all draws in one computation beside one by one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import tvtfast
from bench.machine import machine
from tvtfast import proxies
from tvtfast.models import IdentityNorms, pooled_features
from tvtfast.models.weight_draws import PIXELS
from tvtfast.proxies.length_distortion import POINTS, PUBLISHED_CHUNK, Circle

SEED_TOPOLOGY = "8,2,3|4,1,2|4,1,4|4,1,6|32"
"""The topology that As-ViT's search found."""
SIZE = 224
DRAWS = 5
NTK_IMAGES = 16
DRAWS_SIZES = (32, 64, 128)
"""Sizes of the images in the table of draws."""
HEADER = """# As-ViT's scores on {where}

`python -m bench.asvit`; topology `{topology}` at {size} x {size}, {draws} draws
of weights, medians of {rounds} rounds in random order in one run. The published forms, with the
fused attention of PyTorch, are timed on one draw and some backward passes, and scaled: {timed} of
{passes} for length distortion, {timed_images} of {images} for the kernel. Ours and `torch.func.jvp`
build the networks of the length distortion too. Before anything is timed, the columns of the
published Jacobian, the tangents of `torch.func.jvp` and ours are compared, as are the kernels.

{machine}

"""

DRAWS_HEADER = """## {draws} draws: one by one, or in one computation

`python -m bench.asvit --tables draws --device {device}`; the same topology, {images} images for
the kernel, networks built before, medians of {rounds} rounds in random order. Left to itself a
score takes as many draws at once as have {limit:,} pixels in their images.

{machine}

| score | image size | one by one, s | all at once, s | one by one / at once | pixels of all draws |
| --- | --- | --- | --- | --- | --- |
"""


def build(draw: int, size: int = SIZE, device: str = "cpu") -> nn.Module:
    return tvtfast.build(SEED_TOPOLOGY, space="asvit", img_size=size, seed=draw, device=device)


def ours(draws: int) -> list[float]:
    """One pass of hand-carried tangents per draw."""
    return [
        proxies.length_distortion(build(draw), img_size=SIZE, seed=draw).item()
        for draw in range(draws)
    ]


def func_jvp(draws: int) -> list[float]:
    """All points of a draw in one ``torch.func.jvp``."""
    found = []
    for draw in range(draws):
        module = build(draw)
        circle = Circle(module, SIZE, POINTS, [draw], None)
        with IdentityNorms(), sdpa_kernel(SDPBackend.MATH):
            _, velocities = torch.func.jvp(
                partial(pooled_features, module),
                (circle.images(circle.angles),),
                (circle.tangents(circle.angles),),
            )
        found.append(velocities.double().norm(dim=1).sum().item())
    return found


def published_columns(module: nn.Module, circle: Circle, coordinates: int) -> tuple[Tensor, float]:
    """The first columns of the published Jacobian of a draw, ``[n, k]``, and its seconds, scaled to
    all columns."""
    columns, seconds = [], 0.0
    with IdentityNorms():
        for angles in circle.angles.split(PUBLISHED_CHUNK):
            angles = angles.clone().requires_grad_()
            begin = time.perf_counter()
            features = pooled_features(module, circle.images(angles))
            middle = time.perf_counter()
            found = [
                torch.autograd.grad(features[:, c].sum(), angles, retain_graph=True)[0]
                for c in range(coordinates)
            ]
            end = time.perf_counter()
            columns.append(torch.stack(found, dim=1))
            seconds += middle - begin + (end - middle) * features.shape[1] / coordinates
    return torch.cat(columns), seconds


def published_kernel(module: nn.Module, images: Tensor, passes: int) -> float:
    """Seconds of the published kernel of a draw, scaled to a backward pass per image."""
    weights = [p for name, p in module.named_parameters() if name.endswith("weight")]
    begin = time.perf_counter()
    scores = pooled_features(module, images).sum(dim=1)
    middle = time.perf_counter()
    for score in scores[:passes]:
        torch.autograd.grad(score, weights, retain_graph=True, allow_unused=True)
    return middle - begin + (time.perf_counter() - middle) * len(images) / passes


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def check(module: nn.Module, circle: Circle, images: Tensor, coordinates: int) -> None:
    """The forms agree before any is timed."""
    columns, _ = published_columns(module, circle, coordinates)
    with IdentityNorms():
        _, velocities = tvtfast.models.jvp(
            partial(pooled_features, module),
            circle.images(circle.angles),
            circle.tangents(circle.angles),
            by_hand=True,
        )
    scale = velocities.abs().max().item()
    torch.testing.assert_close(velocities[:, :coordinates], columns, rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(torch.tensor(ours(1)), torch.tensor(func_jvp(1)), rtol=1e-5, atol=0)
    torch.testing.assert_close(
        proxies.ntk_gram(module, images[:2]),
        proxies.ntk_gram(module, images[:2], method="published"),
        rtol=1e-4,
        atol=0,
    )


def in_turns(
    forms: dict[str, Callable[[], float]], rounds: int, shuffle: Callable[[list[str]], None]
) -> dict[str, list[float]]:
    """Seconds of every form, in random order."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    order = list(forms)
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            times[name].append(forms[name]())
    return times


def forms_table(rounds: int, passes: int, shuffle: Callable[[list[str]], None]) -> str:
    """Our forms of both scores beside the published ones."""
    module, images = build(0), torch.randn(NTK_IMAGES, 3, SIZE, SIZE)
    circle = Circle(module, SIZE, POINTS, [0], None)
    check(module, circle, images, passes)
    forms: dict[str, Callable[[], float]] = {
        "length distortion, published": lambda: (
            DRAWS * published_columns(module, circle, passes)[1]
        ),
        "length distortion, torch.func.jvp": lambda: timed(lambda: func_jvp(DRAWS)),
        "length distortion, ours": lambda: timed(lambda: ours(DRAWS)),
        "NTK condition, published": lambda: DRAWS * published_kernel(module, images, passes),
        "NTK condition, ours": lambda: DRAWS * timed(lambda: proxies.ntk_condition(module, images)),
    }
    times = in_turns(forms, rounds, shuffle)
    width = pooled_features(module, images[:1]).shape[1]
    chunks = len(circle.angles.split(PUBLISHED_CHUNK))
    text = HEADER.format(
        where="the CPU",
        topology=SEED_TOPOLOGY,
        size=SIZE,
        draws=DRAWS,
        rounds=rounds,
        passes=f"{DRAWS * chunks * width:,}",
        timed=chunks * passes,
        images=DRAWS * NTK_IMAGES,
        timed_images=passes,
        machine=machine("cpu"),
    )
    text += f"| score and form | s for {DRAWS} draws | published / this |\n| --- | --- | --- |\n"
    for name, values in times.items():
        seconds = statistics.median(values)
        published = statistics.median(times[f"{name.partition(',')[0]}, published"])
        text += f"| {name} | {seconds:.3g} | {published / seconds:.3g} |\n"
    return text


def draws_table(rounds: int, device: str, shuffle: Callable[[list[str]], None]) -> str:
    """All draws in one computation beside one by one, whatever the score would choose."""
    text = DRAWS_HEADER.format(
        draws=DRAWS,
        device=device,
        images=NTK_IMAGES,
        rounds=rounds,
        limit=PIXELS[device],
        machine=machine(device),
    )
    for size in DRAWS_SIZES:
        modules = [build(draw, size, device) for draw in range(DRAWS)]
        images = torch.randn(NTK_IMAGES, 3, size, size, device=device)
        scores: dict[str, tuple[int, Callable[[], Tensor]]] = {
            "length distortion": (
                POINTS - 1,
                partial(proxies.length_distortion, modules, img_size=size, seed=range(DRAWS)),
            ),
            "NTK condition": (NTK_IMAGES, partial(proxies.ntk_condition, modules, images)),
        }
        for name, (shown, score) in scores.items():
            pixels = DRAWS * shown * size**2
            alone, together = (partial(limited, score, device, limit) for limit in (1, pixels))
            torch.testing.assert_close(alone(), together(), rtol=1e-5, atol=0)
            forms = {"alone": partial(timed, alone), "together": partial(timed, together)}
            seconds = {
                form: statistics.median(values)
                for form, values in in_turns(forms, rounds, shuffle).items()
            }
            text += (
                f"| {name} | {size} | {seconds['alone']:.3g} | {seconds['together']:.3g} | "
                f"{seconds['alone'] / seconds['together']:.2f} | {pixels:,} |\n"
            )
    return text


def limited(score: Callable[[], Tensor], device: str, pixels: int) -> Tensor:
    """A score, so many pixels at once; back from the device."""
    with patch.dict(PIXELS, {device: pixels}):
        return score().cpu()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.asvit", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=4, help="timed per published forward pass")
    parser.add_argument(
        "--tables", nargs="+", choices=("forms", "draws"), default=("forms", "draws")
    )
    parser.add_argument(
        "--device", choices=tuple(PIXELS), default="cpu", help="of the table of draws"
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    arguments = parser.parse_args()
    shuffle = random.Random(0).shuffle
    tables = []
    if "forms" in arguments.tables:
        tables.append(forms_table(arguments.rounds, arguments.passes, shuffle))
    if "draws" in arguments.tables:
        tables.append(draws_table(arguments.rounds, arguments.device, shuffle))
    text = "\n".join(tables)
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
