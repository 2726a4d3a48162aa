"""What teacher and architecture can add on ViT-Bench-101 at most: ``python -m bench.ceiling``.

Needs ViT-Bench-101 alone; nothing is scored and nothing is random.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from tvtfast import spaces
from tvtfast.data import load_vit_bench
from tvtfast.scoring.budget import Windows

SPACES = ("autoformer-tiny", "pit")
DATA = {"CIFAR-100": "c100", "Flowers-102": "flower", "Chaoyang": "chaoyang"}
_SURROUNDINGS = {"img_size": 224, "num_classes": 100}


def distilled(rows: pd.DataFrame, data: str) -> pd.Series[float]:
    """Points that distillation adds to every architecture."""
    return rows[f"{data}_kd_acc"] - rows[f"{data}_base_acc"]


def above_mean(rows: pd.DataFrame, space: str, accuracy: str) -> tuple[float, int]:
    """Points of the best architecture of a budget above the mean of its window, mean over windows
    (`tvtfast.scoring.budget.Windows`), and how many windows there are."""
    chosen = spaces.get(space)
    params = [chosen.params(arch, **_SURROUNDINGS) for arch in map(chosen.decode, rows["arch"])]
    windows = Windows(np.array(params, dtype=float), np.ones((1, len(rows)), dtype=np.float32))
    accuracies = rows[accuracy].to_numpy("float64")
    return float(windows.gain(accuracy, accuracies, accuracy, accuracies).gain[0]), len(windows)


def lines(truth: Path) -> Iterator[str]:
    """Both tables."""
    known = {space: load_vit_bench(truth, space) for space in SPACES}
    yield "| space | data | from scratch, % | distilled, % | distillation adds, points | adds to |"
    yield f"|{' --- |' * 6}"
    for space, rows in known.items():
        for name, data in DATA.items():
            added = distilled(rows, data)
            means = [rows[f"{data}_{end}_acc"].mean() for end in ("base", "kd")]
            yield (
                f"| {space} | {name} | {means[0]:.1f} | {means[1]:.1f} | {added.mean():.1f} | "
                f"{int((added > 0).sum())} of {len(rows)} |"
            )
    yield ""
    yield "| space | data | budget windows | best above the mean, points |"
    yield f"|{' --- |' * 4}"
    for space, rows in known.items():
        for name, data in DATA.items():
            points, windows = above_mean(rows, space, f"{data}_kd_acc")
            yield f"| {space} | {name} | {windows} | {points:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ceiling", description=__doc__)
    parser.add_argument("--truth", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    options = parser.parse_args()
    head = [
        "# What teacher and architecture can add on ViT-Bench-101",
        "",
        f"`python -m bench.ceiling --truth {options.truth.name}`",
        "",
        "Means over architectures. A budget window holds those of 85 to 100 % of a limit in "
        "parameters, five at least,",
        "for limits over the whole range; accuracies of the second table are distilled.",
        "",
    ]
    text = "\n".join([*head, *lines(options.truth), ""])
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
