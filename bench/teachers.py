"""What the teacher-aware metric sees of its teacher: ``python -m bench.teachers``.

Untrained candidates are ranked by their likeness to a trained teacher, and to what is no teacher
at all. Needs real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet,
ViT-Bench-101.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

import tvtfast
from bench.machine import machine
from tvtfast.data import IMAGENET_NORMALIZATION, frozen_batch, load_vit_bench
from tvtfast.models import CifarResNet, SpatialFeatures, Teacher
from tvtfast.proxies import teacher_aware

SPACES = ("autoformer-tiny", "pit")
TRUTHS = ("c100_kd_acc", "flower_kd_acc", "chaoyang_kd_acc")
_IMAGES = 16
_TRAINED = "trained, the same images"


def untrained(depth: int, seed: int) -> Teacher:
    """A CIFAR ResNet with the weights that it was drawn with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = CifarResNet(depth, 10)
    return Teacher(module, name="untrained", input_size=32, normalization=IMAGENET_NORMALIZATION)


def teachers(given: Teacher, **scoring: Any) -> dict[str, SpatialFeatures]:
    """Features of the teacher, and of what stands in its place."""

    def features(teacher: Teacher) -> SpatialFeatures:
        found = tvtfast.Scorer(teacher=teacher, **scoring).teacher_features
        assert found is not None
        return found

    trained = features(given)
    return {
        _TRAINED: trained,
        "trained, every image has the map of the next": SpatialFeatures(trained.x.roll(1, 0)),
        "untrained ResNet-56": features(untrained(56, 0)),
        "none: the same value everywhere": SpatialFeatures(torch.ones_like(trained.x)),
    }


def rankings(space: str, options: argparse.Namespace) -> dict[str, npt.NDArray[np.float64]]:
    """Scores of all architectures by what they are likened to."""
    rows = load_vit_bench(options.truth, space)
    scoring: dict[str, Any] = {
        "space": space,
        "proxies": ("teacher_aware",),
        "images": frozen_batch(options.images, _IMAGES, img_size=224),
        "num_classes": 100,
    }
    given = tvtfast.load_teacher(options.teacher)
    likened = teachers(given, **scoring)
    scorer = tvtfast.Scorer(teacher=given, **scoring)
    scores = []
    for arch in rows["arch"]:
        student = scorer.features(arch)
        scores.append([teacher_aware(student, teacher).item() for teacher in likened.values()])
    return dict(zip(likened, np.array(scores).T, strict=True))


def tau(x: Any, y: Any) -> float:
    """Kendall's tau-b."""
    return float(stats.kendalltau(x, y).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.teachers", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-100 as .npz")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--truth", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    options = parser.parse_args()
    lines = [
        "# What the teacher-aware metric sees of its teacher",
        "",
        f"`python -m bench.teachers --images {options.images.name} --teacher "
        f"{options.teacher.name} --truth {options.truth.name}`",
        "",
        f"Kendall's tau-b; {_IMAGES} images at 224 px, one weight draw.",
        "",
        machine(),
        "",
        f"| space | teacher | with the ranking by the trained teacher | {' | '.join(TRUTHS)} |",
        f"|{' --- |' * (3 + len(TRUTHS))}",
    ]
    for space in SPACES:
        truth = load_vit_bench(options.truth, space)
        scores = rankings(space, options)
        for name, ranked in scores.items():
            taus = [tau(ranked, scores[_TRAINED]), *(tau(ranked, truth[one]) for one in TRUTHS)]
            cells = " | ".join(f"{value:+.2f}" for value in taus)
            lines.append(f"| {space} | {name} | {cells} |")
    text = "\n".join([*lines, ""])
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
