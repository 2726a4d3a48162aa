"""ViTAS on handwritten digits: ``python -m bench.vitas_digits --part ...``.

Three studies over small spaces of its own, each for several seeds:

- ``retrain``: train a superformer, search with evolution by inherited accuracy, and retrain the
  best from scratch beside random subnets; the best found against their median.
- ``agreement``: train one superformer per way of sharing; Kendall tau between inherited accuracy
  and accuracy after retraining over the same subnets.
- ``depth``: train one superformer as published (the window of FLOPs is one of the mean, nothing is
  reserved) and one as a search with that window draws; Kendall tau between inherited accuracy and
  accuracy after retraining, over subnets of every range of depths.

Results go to ``<output>/<part>.json`` seed by seed; what is there is not computed again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from typing import Any

from scipy.stats import kendalltau

from bench.machine import machine
from tvtfast import search, spaces
from tvtfast.common.files import replacing
from tvtfast.data import VisionDataset, load_dataset
from tvtfast.distill import Recipe, distill
from tvtfast.spaces import VitasDeitSpace
from tvtfast.spaces.vitas_deit import tenths
from tvtfast.strategies import Evolution
from tvtfast.supernet import SUPERFORMER_RECIPE, InheritedAccuracy, train_superformer

SPACE = spaces.register(
    VitasDeitSpace("vitas-digits", (16, 32), tenths(60), 6, 1, (2, 3, 6), tenths(180), tenths(180))
)
DEEP = spaces.register(
    VitasDeitSpace(
        "vitas-digits-deep", (16, 32), tenths(60), 12, 1, (2, 3, 6), tenths(180), tenths(180)
    )
)
WINDOW = (0.0, 20e6)
"""FLOPs of the subnets of the study of depths."""

DEPTHS = ((1, 4), (5, 8), (9, 12))
DRAWS = {
    "published": {"window_of": "mean", "least_share": 0.0},
    "searched": {},
}
"""How the superformers of the study of depths draw."""

OPTIONS = {"img_size": 32, "patch_size": 4}
"""Patches of 4 and 8 pixels on the digits of 32 x 32."""

_RETRAIN = Recipe(lr=1e-3, augmentation="light", label_smoothing=0.1, batch_size=32)


def halves() -> tuple[VisionDataset, VisionDataset, VisionDataset]:
    """Training images, held-out ones that candidates are chosen on, and test images."""
    digits, test = load_dataset("digits", split="train"), load_dataset("digits", split="test")
    rows = {
        "train": [row for row in range(len(digits)) if row % 5],
        "held-out": [row for row in range(len(digits)) if not row % 5],
    }
    train, held_out = (
        VisionDataset(
            [digits.images[row] for row in chosen],
            digits.labels[chosen],
            digits.classes,
            name=f"digits {name}",
            split=name,
            img_size=digits.img_size,
        )
        for name, chosen in rows.items()
    )
    return train, held_out, test


def inherited(
    name: str, seed: int, epochs: int, folder: Path, space: Any = SPACE, **training: Any
) -> InheritedAccuracy:
    """Held-out accuracy with the weights of a superformer trained with a seed."""
    train, held_out, _ = halves()
    recipe = replace(
        SUPERFORMER_RECIPE,
        epochs=epochs,
        batch_size=32,
        augmentation="light",
        warmup_share=1 / 15,
        cutmix=0.0,
    )
    finished = train_superformer(
        space,
        train,
        test=held_out,
        search_split=0,
        output_dir=folder / f"super-{name}-{seed}",
        recipe=recipe,
        seed=seed,
        device="cpu",
        **OPTIONS,
        **training,
    )
    return InheritedAccuracy(finished.superformer, held_out)


def retrained(arch: Any, seed: int, epochs: int, folder: Path, space: Any = SPACE) -> float:
    """Test accuracy after the last epoch of a training from scratch."""
    train, _, test = halves()
    name = hashlib.sha256(space.encode(arch).encode()).hexdigest()[:12]
    trained = distill(
        space.to_dict(space.decode(arch)),
        train,
        test=test,
        search_split=0,
        space=space,
        output_dir=folder / f"retrained-{name}-{seed}",
        recipe=replace(_RETRAIN, epochs=epochs),
        seed=seed,
        device="cpu",
        **OPTIONS,
    )
    return trained.accuracy


def found(score: InheritedAccuracy, seed: int, options: argparse.Namespace) -> Any:
    """The best of a few generations of evolution, by inherited accuracy on held-out images."""
    searched = search(
        SPACE,
        strategy=Evolution(population=options.population),
        trials=options.generations * options.population,
        proxies=[score.proxy()],
        seed=seed,
        num_classes=10,
        **OPTIONS,
    )
    return searched.best


def retrain(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The best found by inherited accuracy, and random subnets, after retraining."""
    score = inherited("cyclic", seed, options.epochs, options.output, sharing="cyclic")
    best = found(score, seed, options)
    rest = SPACE.sample(options.subnets, 1000 + seed)
    accuracies = [retrained(a, seed, options.retrain_epochs, options.output) for a in (best, *rest)]
    return {
        "best": accuracies[0],
        "median": median(accuracies[1:]),
        "random": accuracies[1:],
        "inherited": [score(arch) for arch in (best, *rest)],
        "flops": [SPACE.flops(arch, **OPTIONS, num_classes=10) for arch in (best, *rest)],
        "params": [SPACE.params(arch, **OPTIONS, num_classes=10) for arch in (best, *rest)],
        "genotype": SPACE.encode(SPACE.decode(best)),
    }


def subnets(count: int) -> list[Any]:
    """Those whose inherited and retrained accuracies are compared, whatever the seed."""
    return SPACE.sample(count, 2000)


def agreement(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rank agreement of inherited and retrained accuracy, by way of sharing."""
    archs = subnets(options.subnets)
    truth = [retrained(arch, 0, options.retrain_epochs, options.output) for arch in archs]
    found: dict[str, Any] = {"retrained": truth}
    for sharing in ("ordinal", "cyclic"):
        score = inherited(sharing, seed, options.epochs, options.output, sharing=sharing)
        scores = [score(arch) for arch in archs]
        found[sharing] = {"inherited": scores, "tau": float(kendalltau(scores, truth).statistic)}
    return found


def by_depth(count: int) -> list[Any]:
    """Subnets inside the window, ``count`` of every range of depths, the shallow ones first."""
    drawn = DEEP.sample(200 * count, 3000, {"flops": WINDOW}, num_classes=10, **OPTIONS)
    return [
        arch
        for low, high in DEPTHS
        for arch in [one for one in drawn if low <= one.depth <= high][:count]
    ]


def depth(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rank agreement of inherited and retrained accuracy by depth, by the way of drawing."""
    archs = by_depth(options.subnets)
    truth = [retrained(arch, 0, options.retrain_epochs, options.output, DEEP) for arch in archs]
    found: dict[str, Any] = {"retrained": truth, "depth": [arch.depth for arch in archs]}
    for name, drawing in DRAWS.items():
        score = inherited(name, seed, options.epochs, options.output, DEEP, flops=WINDOW, **drawing)
        scores = [score(arch) for arch in archs]
        assert score.coverage is not None
        found[name] = {
            "inherited": scores,
            "trained_steps": [score.coverage.least(arch) for arch in archs],
            "marked": [bool(score.coverage.hardly(arch)) for arch in archs],
            "tau": [
                _tau(scores[rows], truth[rows])
                for rows in (slice(None), *_thirds(len(archs), len(DEPTHS)))
            ],
        }
    return found


def _thirds(count: int, parts: int) -> list[slice]:
    share = count // parts
    return [slice(part * share, (part + 1) * share) for part in range(parts)]


def _tau(scores: list[float], truth: list[float]) -> float:
    return float(kendalltau(scores, truth).statistic)


PARTS = {"retrain": retrain, "agreement": agreement, "depth": depth}


def summary(part: str, rows: dict[str, Any]) -> str:
    """One line per seed, and the mean."""
    if part == "retrain":
        lines = [
            f"seed {seed}: best found {row['best']:.2f} %, median of random {row['median']:.2f} %"
            for seed, row in rows.items()
        ]
        gain = mean(row["best"] - row["median"] for row in rows.values())
        return "\n".join([*lines, f"mean difference {gain:+.2f} points"])
    if part == "depth":
        return _by_depth(rows)
    truth = next(iter(rows.values()))["retrained"]
    counts = [SPACE.params(arch, num_classes=10, **OPTIONS) for arch in subnets(len(truth))]
    lines = [
        f"seed {seed}: tau {row['ordinal']['tau']:+.2f} ordinal, {row['cyclic']['tau']:+.2f} cyclic"
        for seed, row in rows.items()
    ]
    return "\n".join([*lines, f"parameter count: tau {kendalltau(counts, truth).statistic:+.2f}"])


def _by_depth(rows: dict[str, Any]) -> str:
    """Per seed and way of drawing the taus: of all subnets, and of every range of depths."""
    ranges = ("all", *(f"{low}-{high}" for low, high in DEPTHS))
    lines = []
    for name in DRAWS:
        for seed, row in rows.items():
            taus = ", ".join(
                f"{span} {tau:+.2f}" for span, tau in zip(ranges, row[name]["tau"], strict=True)
            )
            marked = sum(row[name]["marked"])
            lines.append(f"{name}, seed {seed}: tau by depth {taus}; {marked} subnets marked")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.vitas_digits", description=__doc__)
    parser.add_argument("--part", choices=tuple(PARTS), required=True)
    parser.add_argument("--output", type=Path, default=Path("runs/vitas-digits"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=120, help="of the superformer")
    parser.add_argument("--retrain-epochs", type=int, default=30)
    parser.add_argument("--generations", type=int, default=5, help="of the evolution")
    parser.add_argument("--population", type=int, default=12, help="of a generation")
    parser.add_argument(
        "--subnets", type=int, default=12, help="random ones to retrain, of each range of depths"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{options.part}.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(options.seeds):
        if str(seed) not in rows:
            rows[str(seed)] = PARTS[options.part](seed, options)
            with replacing(path) as target:
                target.write_text(json.dumps(rows, indent=2) + "\n")
        print(summary(options.part, {str(seed): rows[str(seed)]}).splitlines()[0], flush=True)
    print(f"{machine()}\n{summary(options.part, rows)}")


if __name__ == "__main__":
    main()
