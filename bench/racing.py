"""How often a race finds the best of full scoring, and at what cost: ``python -m bench.racing``.

Needs real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet, ViT-Bench-101.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tvtfast
from bench.__main__ import machine
from bench.images import first_images
from tvtfast.data import FrozenBatch, load_vit_bench
from tvtfast.models import Teacher
from tvtfast.population import Population
from tvtfast.proxies.teacher_aware import common_size
from tvtfast.scoring.race import Array, race

_SPACE = "autoformer-tiny"


@torch.no_grad()
def image_scores(population: Population, batch: FrozenBatch, teacher: Teacher) -> Array:
    """Teacher-aware scores of every candidate and image, ``[n, N]``."""
    reference = teacher.features(batch.images, normalization=batch.normalization)[-1]
    scores = np.empty((len(population), len(batch)))
    for found in population.features(batch.images):
        size = common_size(found.features.size, reference.size)
        distances = found.features.attention_map_distance(reference.attention_map(size), size)
        for rows, values in zip(found.rows, -distances.double().numpy(), strict=True):
            scores[list(rows)] = values
    return scores


@dataclass(frozen=True)
class Outcome:
    """Races over many orders of the images, each in 0..1.

    Args:
        same: Share of orders that found exactly the ``top_k`` best of full scoring.
        first: Share that found the best.
        found: Share of the ``top_k`` best that were found.
        cost: Image passes over those of full scoring.
    """

    same: float
    first: float
    found: float
    cost: float


def outcome(scores: Array, known: Array | None, top_k: int, orders: int) -> Outcome:
    """Race candidates with known image scores.

    Args:
        scores: Scores of every image, ``[n, N]``.
        known: A score without images that is added, ``[n]``, both min-max scaled; or none.
        top_k: The best to find.
        orders: Random orders of the images.
    """
    scaled = known is not None
    added = np.zeros(len(scores)) if known is None else known / np.ptp(known)
    truth = _best(scores.mean(axis=1), added, scaled, np.arange(len(scores)), top_k)
    same, first, found, cost = [], [], [], []
    for seed in range(orders):
        run = race(
            lambda rows, images: scores[None, rows][:, :, images],
            added,
            scores.shape[1],
            top_k=top_k,
            scaled=scaled,
            seed=seed,
        )
        best = _best(run.means(scores), added, scaled, np.flatnonzero(run.complete), top_k)
        same.append(set(best) == set(truth))
        first.append(best[0] == truth[0])
        found.append(len(set(best) & set(truth)) / top_k)
        cost.append(run.summary.share)
    return Outcome(*(float(np.mean(values)) for values in (same, first, found, cost)))


def _best(means: Array, added: Array, scaled: bool, rows: Any, top_k: int) -> list[int]:
    span = np.ptp(means[rows]) if scaled else 1.0
    order = np.argsort(-(means / span + added)[rows], kind="stable")
    return [int(row) for row in rows[order[:top_k]]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.racing", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-100 as .npz")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--vit-bench", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--candidates", type=int, default=None, help="default all")
    parser.add_argument("--orders", type=int, default=300, help="random orders of the images")
    options = parser.parse_args()
    archs = load_vit_bench(options.vit_bench, "autoformer")["arch"].tolist()[: options.candidates]
    population = Population(archs, space=_SPACE, num_classes=100)
    scores = image_scores(
        population,
        first_images(options.data, options.batch_size),
        tvtfast.load_teacher(options.teacher),
    )
    norms = population.weight_norms().astype("float64")
    print(machine())
    print(
        f"\n{len(scores)} architectures, {scores.shape[1]} images, {options.orders} orders\n\n"
        "| score | top k | same top k | same best | of the top k | image passes |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for name, known in (("teacher_aware", None), ("teacher_aware + weight_norm", norms)):
        for top_k in (5, 10):
            seen = outcome(scores, known, top_k, options.orders)
            print(
                f"| {name} | {top_k} | {seen.same:.1%} | {seen.first:.1%} | {seen.found:.1%} | "
                f"{seen.cost:.1%} |"
            )


if __name__ == "__main__":
    main()
