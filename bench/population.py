"""A population as one computation, beside the loops it replaces: ``python -m bench.population``.

Times need real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet, and
ViT-Bench-101 or ``--candidates`` random architectures. All forms see the same images and score the
same architectures; they take turns, and medians of rounds are printed. The scores of the fp32 tree
are first compared with those of the plain loop.
"""

from __future__ import annotations

import argparse
import copy
import gc
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

import tvtfast
from bench.images import first_images
from bench.machine import machine
from tvtfast.data import FrozenBatch, load_vit_bench
from tvtfast.models import Teacher, extract_features, last_features
from tvtfast.population import Population
from tvtfast.population.tree import prefix_tree
from tvtfast.proxies import teacher_aware, weight_norm

SPACE = "autoformer-tiny"
Scores = dict[str, list[float]]


class StudentWithTeacher(nn.Module):
    """What the published code runs: a student and its teacher in one module."""

    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, images: torch.Tensor, small: torch.Tensor) -> tuple[Any, Any]:
        return self.student(images), extract_features(self.teacher, small)


def published(archs: list[Any], batch: FrozenBatch, teacher: Teacher) -> Scores:
    """The protocol of the released code, with its waste.

    Per candidate: a model with weights of its own; student and teacher wrapped and copied deeply;
    both in training mode, with gradients recorded; logits of both computed and thrown away; the
    teacher run again although its images never change; a second pass of the student for the
    features that count; one norm call per weight; a garbage collection. (Reading a new batch per
    candidate, which it does too, is left out.)
    """
    found: Scores = {"teacher_aware": [], "weight_norm": []}
    small = teacher.prepare(batch.images, batch.normalization)
    for index, arch in enumerate(archs):
        student = tvtfast.build(
            arch, space=SPACE, num_classes=100, seed=index + 1, device=batch.images.device
        )
        model = copy.deepcopy(StudentWithTeacher(student, teacher.module)).train()
        _, stages = model(batch.images, small)
        features = last_features(model.student, batch.images)
        found["teacher_aware"].append(teacher_aware(features, stages[-1]).item())
        norms = [
            layer.weight.norm()
            for layer in model.student.modules()
            if isinstance(layer, (nn.Conv2d, nn.Linear))
        ]
        found["weight_norm"].append(torch.stack(norms).sum().item())
        del model, student, stages, features, norms
        gc.collect()
    return found


@torch.no_grad()
def plain_loop(archs: list[Any], batch: FrozenBatch, teacher: Teacher) -> Scores:
    """The best loop with our operators: the teacher once, every model built and run once."""
    found: Scores = {"teacher_aware": [], "weight_norm": []}
    stage = teacher.features(batch.images, normalization=batch.normalization)[-1]
    for arch in archs:
        student = tvtfast.build(arch, space=SPACE, num_classes=100, device=batch.images.device)
        features = last_features(student, batch.images)
        found["teacher_aware"].append(teacher_aware(features, stage).item())
        found["weight_norm"].append(weight_norm(student).item())
    return found


@torch.no_grad()
def plain_pytorch(archs: list[Any], batch: FrozenBatch, teacher: Teacher) -> Scores:
    """The best loop that a user would write: as above, maps and norms by PyTorch's operators.

    The models run on PyTorch's own operators in every loop; their weights are drawn by ours.
    """
    found: Scores = {"teacher_aware": [], "weight_norm": []}
    stage = teacher.features(batch.images, normalization=batch.normalization)[-1]
    wanted = None
    for arch in archs:
        student = tvtfast.build(arch, space=SPACE, num_classes=100, device=batch.images.device)
        features = last_features(student, batch.images)
        if wanted is None:
            resized = F.interpolate(stage.x, features.size, mode="bilinear", align_corners=False)
            wanted = F.normalize(resized.square().mean(dim=1).flatten(1))
        tokens = features.x[:, features.prefix_tokens :]
        found_map = F.normalize(tokens.square().mean(dim=2))
        found["teacher_aware"].append(-F.mse_loss(found_map, wanted).item())
        weights = [
            layer.weight for layer in student.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))
        ]
        found["weight_norm"].append(torch.stack(torch._foreach_norm(weights)).sum().item())
    return found


@torch.no_grad()
def tree(dtype: torch.dtype, archs: list[Any], batch: FrozenBatch, teacher: Teacher) -> Scores:
    """One population."""
    population = Population(
        archs, space=SPACE, num_classes=100, dtype=dtype, device=batch.images.device
    )
    stage = teacher.features(batch.images, normalization=batch.normalization)[-1]
    wanted = stage.attention_map((14, 14))
    values = np.empty(len(archs))
    for found in population.features(batch.images):
        distances = found.features.attention_map_distance(wanted).double().mean(dim=1).tolist()
        for rows, distance in zip(found.rows, distances, strict=True):
            values[list(rows)] = -distance
    norms = population.weight_norms()
    return {"teacher_aware": values.tolist(), "weight_norm": list(map(float, norms))}


def timed(call: Callable[[], Any], device: str) -> tuple[Any, float]:
    """Result and seconds of a call, to the end of its work."""
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    result = call()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - begin


def ceiling(dtype: torch.dtype, device: str) -> float:
    """FLOP/s of a large matrix product."""
    side = 8192 if device == "cuda" else 4096
    matrix = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / min(timed(lambda: matrix @ matrix, device)[1] for _ in range(4))


def spread(archs: list[Any], count: int) -> list[Any]:
    """So many of the architectures that cost about as much as all do on average: those in the
    middle of equally large parts, in the order of FLOPs."""
    order = np.argsort(tvtfast.spaces.get(SPACE).paths(archs).flops, kind="stable")
    middles = (np.arange(count) + 0.5) * len(archs) / count
    return [archs[order[int(middle)]] for middle in middles] if count < len(archs) else archs


def sharing(archs: list[Any]) -> tuple[float, float]:
    """Nodes per candidate, two per block, and FLOPs of one image per candidate, after sharing."""
    paths = tvtfast.spaces.get(SPACE).paths(archs, num_classes=100)
    tree = prefix_tree(paths, range(len(archs)))
    macs = np.array([step.macs for step in tree.steps])[tree.step[1:]]
    return len(macs) / len(archs), 2 * int(macs.sum()) / len(archs)


def print_sharing() -> None:
    """How the work per candidate falls as the population grows; counted, not timed."""
    space = tvtfast.spaces.get(SPACE)
    archs = space.sample(100_000, 0)
    print(
        "\n| candidates | nodes per candidate | GFLOP per candidate and image | without sharing |"
    )
    print("| --- | --- | --- | --- |")
    for count in (10, 100, 1000, 10_000, 100_000):
        nodes, flops = sharing(archs[:count])
        alone = space.paths(archs[:count]).flops.mean()
        print(f"| {count:,} | {nodes:.1f} | {flops / 1e9:.2f} | {alone / 1e9:.2f} |")
    begin = time.perf_counter()
    population = Population(archs, space=SPACE)
    counts = population.params, population.flops, population.weight_norms()
    seconds = time.perf_counter() - begin
    print(
        f"\nparameters, FLOPs and weight norms of {len(counts[0]):,} candidates: {seconds:.2f} s, "
        "weights drawn and architectures checked anew"
    )


def print_growth(sizes: list[int], batch: FrozenBatch, teacher: Teacher, device: str) -> None:
    """Time per candidate as the population grows."""
    archs = tvtfast.spaces.get(SPACE).sample(max(sizes), 0)
    print("\n| candidates | candidates/s, bf16 |")
    print("| --- | --- |")
    for size in sizes:
        _, seconds = timed(partial(tree, torch.bfloat16, archs[:size], batch, teacher), device)
        print(f"| {size:,} | {size / seconds:,.1f} |", flush=True)


def print_race(count: int, batch: FrozenBatch, teacher: Teacher, published_seconds: float) -> None:
    """What it costs to find the ten best of random candidates, against scoring all as published."""
    result, seconds = timed(
        lambda: tvtfast.search(
            SPACE,
            strategy="random",
            trials=count,
            racing=True,
            images=batch,
            teacher=teacher,
            num_classes=100,
            dtype="bfloat16",
            device=batch.images.device,
        ),
        batch.images.device.type,
    )
    race = result.table.race
    assert race is not None
    print(
        f"\nThe ten best of {count} random candidates by a race, bf16: {seconds:.1f} s, "
        f"{seconds / count:.3f} s per candidate, {race.share:.1%} of the image passes; "
        f"{published_seconds * count / seconds:.0f} times less than the published protocol"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.population", description=__doc__)
    parser.add_argument("--data", type=Path, help=".npz with x_train")
    parser.add_argument("--teacher", help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--vit-bench", help="ViT-Bench-101 ground truth; default random candidates")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--loop-candidates", type=int, default=10, help="per round, of the loops; as costly as all"
    )
    parser.add_argument("--race", type=int, default=0, help="candidates of a race for the ten best")
    parser.add_argument("--growth", type=int, nargs="*", default=[], help="sizes of populations")
    arguments = parser.parse_args()
    device = arguments.device
    print(machine(device))
    print_sharing()
    if None in (arguments.data, arguments.teacher):
        print("\nFor times give --data and --teacher.")
        return
    batch = first_images(arguments.data, arguments.images).to(device)
    teacher = tvtfast.load_teacher(arguments.teacher, device=device)
    if arguments.vit_bench is None:
        archs = list(tvtfast.spaces.get(SPACE).sample(arguments.candidates, 0))
    else:
        known = load_vit_bench(arguments.vit_bench, "autoformer")["arch"]
        archs = list(known)[: arguments.candidates]
    some = spread(archs, arguments.loop_candidates)
    forms: dict[str, tuple[list[Any], Callable[..., Scores]]] = {
        "published protocol": (some, published),
        "plain loop, PyTorch alone": (some, plain_pytorch),
        "plain loop, our operators": (some, plain_loop),
        "tree, fp32": (archs, partial(tree, torch.float32)),
        "tree, bf16": (archs, partial(tree, torch.bfloat16)),
    }
    scores = {name: form(some, batch, teacher) for name, (_, form) in forms.items()}
    # PyTorch sums squares in fp32
    for name, tolerance in (("tree, fp32", 1e-6), ("plain loop, PyTorch alone", 1e-5)):
        expected = scores["plain loop, our operators"]
        np.testing.assert_allclose(
            scores[name]["weight_norm"], expected["weight_norm"], rtol=tolerance
        )
        np.testing.assert_allclose(
            scores[name]["teacher_aware"], expected["teacher_aware"], rtol=1e-5
        )
    times: dict[str, list[float]] = {name: [] for name in forms}
    order = list(forms.items())
    ceilings = {torch.float32: 0.0, torch.bfloat16: 0.0}
    shuffle = random.Random(0).shuffle
    for _ in range(arguments.rounds):
        shuffle(order)
        for name, (chosen, form) in order:
            scores[name], seconds = timed(partial(form, chosen, batch, teacher), device)
            times[name].append(seconds / len(chosen))
        for dtype in ceilings:
            ceilings[dtype] = max(ceilings[dtype], ceiling(dtype, device))
    medians = {name: statistics.median(values) for name, values in times.items()}
    flops = sharing(archs)[1] * len(batch)
    alone, of_loops = (
        tvtfast.spaces.get(SPACE).paths(each).flops.mean() * len(batch) for each in (archs, some)
    )
    source = "random" if arguments.vit_bench is None else "ViT-Bench-101"
    print(
        f"\n{len(archs)} architectures, {source} ({len(some)} in the loops), {len(batch)} images "
        f"at 224x224; GFLOP per candidate {alone / 1e9:.1f} alone ({of_loops / 1e9:.1f} in the "
        f"loops), {flops / 1e9:.1f} after sharing; matrix ceilings "
        + ", ".join(f"{d} {c / 1e9:.0f} GFLOP/s" for d, c in ceilings.items())
    )
    baselines = ("published protocol", "plain loop, PyTorch alone", "plain loop, our operators")
    columns = ("form", "s per candidate", *(f"{b} / this" for b in baselines), "of the ceiling")
    print(f"\n| {' | '.join(columns)} |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, seconds in medians.items():
        share = ""
        if name.startswith("tree"):
            peak = ceilings[torch.bfloat16 if "bf16" in name else torch.float32]
            share = f"{flops / peak / seconds:.0%}"
        ratios = " | ".join(f"{medians[baseline] / seconds:.2f}" for baseline in baselines)
        print(f"| {name} | {seconds:.4g} | {ratios} | {share} |")
    tau = stats.kendalltau(
        scores["tree, fp32"]["teacher_aware"], scores["tree, bf16"]["teacher_aware"]
    ).statistic
    print(f"\ntau between the teacher-aware scores in fp32 and in bf16: {tau:.3f}")
    if arguments.race:
        print_race(arguments.race, batch, teacher, medians["published protocol"])
    if arguments.growth:
        print_growth(arguments.growth, batch, teacher, device)


if __name__ == "__main__":
    main()
