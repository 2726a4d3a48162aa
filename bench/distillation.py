"""Does guidance help? The same student with a teacher and without, over several seeds."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.machine import machine
from tvtfast.distill import STUDENT_RECIPE, Distillation, TrainedStudent, digits_teacher, distill
from tvtfast.spaces import AutoFormerArch, AutoFormerSpace, register

SPACE = register(AutoFormerSpace("bench-distillation", (64,), (4,), (4.0,), (2,)))
ARCH = AutoFormerArch(64, 4, (4.0,) * 4, (2,) * 4)
OPTIONS = {"img_size": 32, "patch_size": 8}

ARMS: Mapping[str, Distillation] = {
    "plain": Distillation(guidance=None),
    "linear, w = 2.5": Distillation(guidance="linear", offline=True),
    "attention, w = 2.5": Distillation(guidance="attention", offline=True),
    "attention, w = 500": Distillation(guidance="attention", guidance_weight=500, offline=True),
}
"""Weight 2.5 is that of the published recipe. Zagoruyko and Komodakis (ICLR 2017) take 500 for the
same mean over positions."""


def train(arm: str, seed: int, epochs: int, folder: Path) -> TrainedStudent:
    """One training; a finished one is read."""
    how = ARMS[arm]
    return distill(
        ARCH,
        "digits",
        digits_teacher() if how.needs_teacher else None,
        space=SPACE,
        output_dir=folder / f"{arm.replace(', w = ', '-')}-seed{seed}",
        how=how,
        recipe=replace(STUDENT_RECIPE, epochs=epochs, batch_size=32, lr=1e-3, augmentation="light"),
        search_split=0,
        seed=seed,
        device="cpu",
        **OPTIONS,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.distillation", description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bench-distillation"))
    options = parser.parse_args()
    params = SPACE.params(ARCH, num_classes=10, **OPTIONS)
    print(machine())
    print(
        f"\n{params:,} parameters, {options.epochs} epochs, seeds {options.seeds}\n\n"
        "| guidance | test accuracy of the last epoch, mean ± sd | of every seed |\n"
        "| --- | --- | --- |"
    )
    for arm in ARMS:
        runs = [train(arm, seed, options.epochs, options.output_dir) for seed in options.seeds]
        last = [run.accuracy for run in runs]
        every = ", ".join(f"{accuracy:.1f}" for accuracy in last)
        print(f"| {arm} | {_spread(last)} | {every} |", flush=True)


def _spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"


if __name__ == "__main__":
    main()
