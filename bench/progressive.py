"""Progressive tokens against all tokens: ``python -m bench.progressive``.

Trains one As-ViT architecture from scratch, without a teacher, three ways with the same recipe: on
all tokens; progressively; and on all tokens for as many epochs as the FLOPs of the progressive
training pay for. Every training can be stopped and is continued by the same command.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import torch

import tvtfast
from bench.machine import machine
from tvtfast.distill import ProgressiveTokens, Recipe, TrainedStudent, distill
from tvtfast.spaces.asvit import SEED


def variants(arch: str, recipe: Recipe, img_size: int) -> dict[str, Recipe]:
    """The three trainings."""
    model, tokens = tvtfast.build(arch, space="asvit"), ProgressiveTokens()
    cost = tokens.cost(model, (img_size, img_size), recipe.epochs)
    shorter = round(recipe.epochs * (1 - cost.saved))
    return {
        f"all tokens, {recipe.epochs} epochs": recipe,
        f"progressive, {recipe.epochs} epochs": replace(recipe, tokens=tokens),
        f"all tokens, {shorter} epochs": replace(recipe, epochs=shorter),
    }


def row(name: str, runs: list[TrainedStudent], spent: float) -> str:
    """One line of the table: accuracies as mean and sample standard deviation over seeds."""
    last = [run.history[-1]["accuracy"] for run in runs]
    best = [run.accuracy for run in runs]
    cells = (f"{statistics.mean(x):.2f} ± {statistics.stdev(x):.2f}" for x in (last, best))
    return f"| {name} | {' | '.join(cells)} | {spent:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.progressive", description=__doc__)
    parser.add_argument("--data-set", default="digits", help="name of a data set, or .npz")
    parser.add_argument("--arch", default=str(SEED))
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--augmentation", default="light")
    parser.add_argument("--output", type=Path, default=Path("runs/progressive"))
    arguments = parser.parse_args()
    recipe = Recipe(
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        lr=arguments.lr,
        augmentation=arguments.augmentation,
    )
    print(machine("cuda" if torch.cuda.is_available() else "cpu"))
    place = f"{Path(arguments.data_set).stem} at {arguments.img_size} pixels"
    print(f"\n{arguments.arch} on {place}, {recipe}\n")
    print("| training | last epoch, % | best epoch, % | training FLOPs |")
    print("| --- | --- | --- | --- |", flush=True)
    for name, changed in variants(arguments.arch, recipe, arguments.img_size).items():
        runs = [
            distill(
                arguments.arch,
                arguments.data_set,
                space="asvit",
                output_dir=arguments.output / f"{name.replace(', ', '-')}-seed{seed}",
                recipe=changed,
                seed=seed,
                img_size=arguments.img_size,
            )
            for seed in range(arguments.seeds)
        ]
        saved = float(runs[0].student.card.recipe.get("token_flops_saved", 0.0))
        spent = (1 - saved) * changed.epochs / recipe.epochs
        print(row(name, runs, spent), flush=True)


if __name__ == "__main__":
    main()
