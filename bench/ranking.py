"""How stable rankings are over weight draws, and how well they rank: ``python -m bench.ranking``.

Needs real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet, ViT-Bench-101.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import stats

import tvtfast
from bench.machine import machine
from tvtfast.data import IMAGENET_NORMALIZATION, FrozenBatch, frozen_batch, load_vit_bench

_SPACE = "autoformer-tiny"


def first_images(path: Path, count: int) -> FrozenBatch:
    """The first training images, resized to 224 pixels bilinearly."""
    with np.load(path, allow_pickle=False) as archive:
        pixels = torch.from_numpy(archive["x_train"][:count]).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (IMAGENET_NORMALIZATION.mean, IMAGENET_NORMALIZATION.std)
    )
    images = torch.nn.functional.interpolate(
        (pixels - mean) / std, size=(224, 224), mode="bilinear", align_corners=False
    )
    return FrozenBatch.from_tensors(
        images,
        None,
        normalization=IMAGENET_NORMALIZATION,
        name=f"{path.stem}-first-{count}",
        dataset=path.stem,
        split="train",
        num_classes=100,
    )


def shared(archs: list[Any], seed: int, **arguments: Any) -> tvtfast.ScoreTable:
    """All candidates share weights by index."""
    return tvtfast.score(archs, space=_SPACE, seed=seed, num_classes=100, **arguments)


def independent(archs: list[Any], seed: int, **arguments: Any) -> npt.NDArray[np.float64]:
    """Every candidate has weights of its own, as in published code; all else is equal."""
    values = []
    for index, arch in enumerate(archs):
        own = 1_000_000 * (seed + 1) + index
        table = shared([arch], own, **{**arguments, "proxies": ("teacher_aware",)})
        values.append(table.to_pandas()["teacher_aware"][0])
    return np.array(values)


def agreement(scores: list[npt.NDArray[np.float64]]) -> str:
    """Kendall tau of every pair of draws."""
    taus = [stats.kendalltau(a, b).statistic for a, b in itertools.combinations(scores, 2)]
    return ", ".join(f"{tau:.2f}" for tau in taus)


def print_coefficients(frame: pd.DataFrame, name: str, title: str) -> None:
    """A row per accuracy, a column per proxy, depth and width among them."""
    means = ~frame["proxy"].str.endswith("_sum")
    proxies = list(frame.loc[means, "proxy"].unique())
    print(f"\n{title}\n\n| accuracy | {' | '.join(proxies)} |\n|{' --- |' * (len(proxies) + 1)}")
    for truth, group in frame[means].groupby("truth", sort=False):
        columns = [group[f"{name}{end}"] for end in ("", "_low", "_high")]
        cells = [
            "none" if np.isnan(value) else f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
            for value, low, high in zip(*columns, strict=True)
        ]
        print(f"| {truth} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ranking", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-100 as .npz")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--truth", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    rows = load_vit_bench(options.truth, "autoformer")
    archs = rows["arch"].tolist()
    teacher = tvtfast.load_teacher(options.teacher)
    batches = {
        "first training images": first_images(options.images, options.batch_size),
        "one image of each class": frozen_batch(options.images, options.batch_size),
    }
    print(machine())
    print(f"\n{len(archs)} architectures, {options.batch_size} images, teacher {teacher.name}")
    print("\n| images | weights | Kendall tau between draws |\n| --- | --- | --- |")
    tables = []
    for name, batch in batches.items():
        arguments = {"teacher": teacher, "images": batch}
        tables = [shared(archs, seed, **arguments) for seed in range(3)]
        drawn = [table.to_pandas()["teacher_aware"].to_numpy() for table in tables]
        print(f"| {name} | shared by index, seeds 0, 1, 2 | {agreement(drawn)} |", flush=True)
    own = [independent(archs, seed, **arguments) for seed in range(2)]
    print(f"| {name} | independent | {agreement(own)} |", flush=True)
    frame = tvtfast.correlate(tables[0], rows.drop(columns="arch"), n_resamples=1000)
    print_coefficients(frame, "tau", "Kendall tau-b")
    print_coefficients(frame, "tau_given_params", "Kendall's partial tau given params")


if __name__ == "__main__":
    main()
