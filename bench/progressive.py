"""Progressive tokens against all tokens: ``python -m bench.progressive``.

Trains one As-ViT architecture from scratch, without a teacher, three ways with the same recipe: on
all tokens; progressively; and on all tokens for as many epochs as the FLOPs of the progressive
training pay for. Seed by seed: every training can be stopped and is continued by the same command,
and what is finished is not trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import tvtfast
from bench.machine import machine
from tvtfast.data import load_dataset
from tvtfast.distill import ProgressiveTokens, Recipe, distill
from tvtfast.spaces.asvit import SEED


def variants(
    model: nn.Module, recipe: Recipe, tokens: ProgressiveTokens, img_size: int
) -> dict[str, tuple[Recipe, float]]:
    """The three trainings, and the share of the FLOPs of the first that each takes."""
    spent = 1 - tokens.cost(model, (img_size, img_size), recipe.epochs).saved
    shorter = round(recipe.epochs * spent)
    return {
        f"all tokens, {recipe.epochs} epochs": (recipe, 1.0),
        f"progressive, {recipe.epochs} epochs": (replace(recipe, tokens=tokens), spent),
        f"all tokens, {shorter} epochs": (replace(recipe, epochs=shorter), shorter / recipe.epochs),
    }


def row(name: str, accuracies: list[float], spent: float) -> str:
    """One line of the table: the accuracies as mean and sample standard deviation over seeds."""
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else float("nan")
    return f"| {name} | {statistics.mean(accuracies):.2f} ± {deviation:.2f} | {spent:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.progressive", description=__doc__)
    parser.add_argument("--data-set", default="digits", help="name of a data set, or .npz")
    parser.add_argument("--arch", default=str(SEED))
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--phases", type=json.loads, help="such as [[0,2],[0.5,1]]")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--augmentation", default="light")
    parser.add_argument("--output", type=Path, default=Path("runs/progressive"))
    arguments = parser.parse_args()
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        augmentation=arguments.augmentation,
    )
    tokens = ProgressiveTokens(arguments.phases) if arguments.phases else ProgressiveTokens()
    num_classes = load_dataset(arguments.data_set, split="train").num_classes
    model = tvtfast.build(arguments.arch, space="asvit", num_classes=num_classes)
    trainings = variants(model, recipe, tokens, arguments.img_size)
    accuracies: dict[str, list[float]] = {name: [] for name in trainings}
    print(machine("cuda" if torch.cuda.is_available() else "cpu"))
    place = f"{Path(arguments.data_set).stem} at {arguments.img_size} pixels"
    print(f"\n{arguments.arch} on {place}, phases {tokens.phases}, {recipe}\n", flush=True)
    for seed in range(arguments.seeds):
        for name, (changed, _) in trainings.items():
            trained = distill(
                arguments.arch,
                arguments.data_set,
                space="asvit",
                output_dir=arguments.output / f"{name.replace(', ', '-')}-seed{seed}",
                search_split=0,
                recipe=changed,
                seed=seed,
                img_size=arguments.img_size,
            )
            accuracies[name].append(trained.accuracy)
            print(f"seed {seed}: {name}, {trained.accuracy:.2f} %", flush=True)
    print("\n| training | test accuracy of the last epoch, % | training FLOPs |")
    print("| --- | --- | --- |")
    for name, (_, spent) in trainings.items():
        print(row(name, accuracies[name], spent))


if __name__ == "__main__":
    main()
