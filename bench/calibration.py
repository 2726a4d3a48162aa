"""How a calibration on a few trained candidates ranks the others: ``python -m bench.calibration``.

Needs real data: an ``.npz`` of CIFAR-100 images, a checkpoint of a CIFAR ResNet, ViT-Bench-101.
A draw takes some of the architectures as trained; all coefficients are over the others.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

import tvtfast
from bench.images import first_images
from bench.machine import machine
from tvtfast.data import load_vit_bench

Array = npt.NDArray[np.float64]

_SPACE = "autoformer-tiny"
_IMAGES = 32
_TRUTHS = ("c100_kd_acc", "flower_kd_acc", "chaoyang_kd_acc")
_PRIOR = "weight_norm"
_TRAINED = (5, 10, 20, 40)
_TARGETS = {
    "CIFAR-100: tau >= .68 with 10": (_TRUTHS[0], 10, "tau", 0.68),
    "CIFAR-100: tau >= .72 with 20": (_TRUTHS[0], 20, "tau", 0.72),
    "CIFAR-100: partial tau given params >= .50 with 10": (_TRUTHS[0], 10, "partial", 0.50),
    "Flowers: at most .02 below weight norm with 10": (_TRUTHS[1], 10, "gain", -0.02),
    "Flowers: at most .02 below weight norm with 20": (_TRUTHS[1], 20, "gain", -0.02),
    "Chaoyang: at most .02 below weight norm with 10": (_TRUTHS[2], 10, "gain", -0.02),
    "Chaoyang: at most .02 below weight norm with 20": (_TRUTHS[2], 20, "gain", -0.02),
    "CIFAR-100: 5 % quantile at most .10 below with 10": (_TRUTHS[0], 10, "low", -0.10),
    "Flowers: 5 % quantile at most .10 below with 10": (_TRUTHS[1], 10, "low", -0.10),
    "Chaoyang: 5 % quantile at most .10 below with 10": (_TRUTHS[2], 10, "low", -0.10),
}


class Draws(NamedTuple):
    """Means over draws of one column of truth and one number of trained architectures.

    Args:
        tau: Kendall's tau-b of the predictions.
        prior: The same of the prior, over the same architectures.
        gain: Their difference.
        low: 5 % quantile of tau, less the mean of the prior.
        partial: Kendall's partial tau of the predictions given the parameter count.
        covered: Share of accuracies inside the 90 % intervals.
        unchanged: Share of draws that are said to be too few.
    """

    tau: float
    prior: float
    gain: float
    low: float
    partial: float
    covered: float
    unchanged: float


def tau(x: Array, y: Array) -> float:
    """Kendall's tau-b."""
    return float(stats.kendalltau(x, y).statistic)


def partial_tau(x: Array, y: Array, given: Array) -> float:
    """Kendall's partial tau-b."""
    xy, xz, yz = tau(x, y), tau(x, given), tau(y, given)
    return (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))


def draw(table: tvtfast.ScoreTable, accuracies: Array, n: int, count: int) -> Draws:
    """Calibrate on ``n`` architectures, ``count`` times."""
    rows = []
    params, prior = table["params"], table[_PRIOR]
    for seed in range(count):
        order = np.random.default_rng(seed).permutation(len(table))
        trained, rest = order[:n], order[n:]
        calibration = tvtfast.calibrate(table, {int(i): accuracies[i] for i in trained})
        predicted, truth = calibration.predict(table)[rest], accuracies[rest]
        low, high = calibration.interval(table, 0.9)[rest].T
        rows.append(
            (
                tau(predicted, truth),
                tau(prior[rest], truth),
                partial_tau(predicted, truth, params[rest]),
                float(np.mean((low <= truth) & (truth <= high))),
                float(not calibration.changed),
            )
        )
    taus, priors, partials, covered, unchanged = np.array(rows).T
    return Draws(
        float(taus.mean()),
        float(priors.mean()),
        float((taus - priors).mean()),
        float(np.quantile(taus, 0.05) - priors.mean()),
        float(partials.mean()),
        float(covered.mean()),
        float(unchanged.mean()),
    )


def lines(found: dict[tuple[str, int], Draws]) -> list[str]:
    """The table of all draws, and that of the targets."""
    text = [
        "| accuracy | trained | tau | weight norm | 5 % quantile less weight norm | partial tau "
        "given params | inside 90 % intervals | said to be too few |",
        f"|{' --- |' * 8}",
    ]
    for (truth, n), one in found.items():
        cells = [f"{one.tau:.3f}", f"{one.prior:.3f}", f"{one.low:+.3f}", f"{one.partial:.3f}"]
        text.append(
            f"| {truth} | {n} | {' | '.join(cells)} | {one.covered:.0%} | {one.unchanged:.0%} |"
        )
    text += ["", "| target | reached | met |", "| --- | --- | --- |"]
    for name, (truth, n, what, least) in _TARGETS.items():
        value = getattr(found[truth, n], what)
        text.append(f"| {name} | {value:.3f} | {'yes' if value >= least else '**no**'} |")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-100 as .npz")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of a CIFAR ResNet")
    parser.add_argument("--truth", type=Path, required=True, help="ViT-Bench-101")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    options = parser.parse_args()
    rows = load_vit_bench(options.truth, "autoformer")
    scored: dict[str, Any] = {
        "teacher": tvtfast.load_teacher(options.teacher),
        "images": first_images(options.images, _IMAGES),
        "proxies": (_PRIOR, "teacher_aware"),
        "num_classes": 100,
    }
    table = tvtfast.score(rows["arch"].tolist(), space=_SPACE, **scored)
    found = {
        (truth, n): draw(table, rows[truth].to_numpy("float64"), n, options.draws)
        for truth in _TRUTHS
        for n in _TRAINED
    }
    head = [
        f"# Calibration on the {len(table)} AutoFormer architectures of ViT-Bench-101",
        "",
        f"`python -m bench.calibration --images {options.images.name} --teacher "
        f"{options.teacher.name} --truth {options.truth.name}`",
        "",
        f"Scores {_PRIOR} and teacher_aware ({_IMAGES} images), closed-form features; means over "
        f"{options.draws} draws of the",
        "trained architectures, Kendall's tau-b over all others.",
        "",
        machine(),
        "",
    ]
    text = "\n".join([*head, *lines(found), ""])
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
