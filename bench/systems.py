"""The three systems from end to end: ``python -m bench.systems --data-set cifar100_subset.npz``.

Runs TVT, As-ViT and ViTAS with one budget and one recipe of students, seed by seed, each beside the
DeiT-like ViT of equal size that the same recipe trains. Candidates and epochs are chosen by images
that are held out of the training images; the test images are read once per network.

Every run can be stopped at any moment and is continued by the same command; what is finished is not
done again. The table is written anew after every run.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tvtfast
from bench.machine import machine
from tvtfast.common.files import replacing
from tvtfast.distill import DIGITS_TEACHER_RECIPE, ProgressiveTokens, Recipe
from tvtfast.pipeline import SYSTEMS, RunResult
from tvtfast.supernet import SUPERFORMER_RECIPE

SPACES = {"tvt": "pit", "as-vit": "asvit", "vitas": "vitas-deit"}
"""Spaces that have models of two million parameters."""

PATCHES = {"tvt": {"patch_size": 4}, "as-vit": {}, "vitas": {"patch_size": 4}}
"""Patches for images of 32 pixels; As-ViT searches its own."""

RESULTS = Path(__file__).with_name("results") / "systems-cpu.md"


@dataclass(frozen=True)
class Row:
    """One run: test accuracies in percent, size, and seconds by stage."""

    system: str
    seed: int
    params: int
    flops: int
    student: float
    equal_size: float
    beside: float | None
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, result: RunResult, seed: int) -> Row:
        """What a run ended with. Beside the student stand the same without its teacher, and what is
        cut out of the superformer."""
        assert result.baseline is not None
        plain = None if result.plain is None else result.plain.accuracy
        cut = None if result.cut is None else result.cut.card.accuracy
        return cls(
            result.system,
            seed,
            result.best["params"],
            result.best["flops"],
            result.student.accuracy,
            result.baseline.accuracy,
            plain if cut is None else cut,
            result.seconds,
        )


def arguments(system: str, options: argparse.Namespace) -> dict[str, Any]:
    """What `tvtfast.run` is called with."""
    recipe = Recipe(
        epochs=options.epochs, batch_size=64, lr=1e-3, label_smoothing=0.1, augmentation="weak"
    )
    superformer = replace(
        SUPERFORMER_RECIPE,
        epochs=options.superformer_epochs,
        batch_size=64,
        warmup_epochs=None,
    )
    teacher: dict[str, Any] = {
        "teacher_arch": "resnet20",
        "teacher_recipe": replace(
            DIGITS_TEACHER_RECIPE, epochs=options.teacher_epochs, augmentation="weak"
        ),
    }
    if options.teacher:
        teacher = {"teacher": options.teacher}
    own: dict[str, dict[str, Any]] = {
        "tvt": {"recipe": recipe, **teacher},
        "as-vit": {"recipe": replace(recipe, tokens=ProgressiveTokens())},
        "vitas": {"recipe": recipe, "superformer_recipe": superformer},
    }
    return {
        "system": system,
        "space": SPACES[system],
        "budget": 1e6 * options.budget,
        "trials": options.trials,
        "device": "cpu",
        "progress": True,
        "img_size": options.img_size,
        **PATCHES[system],
        **own[system],
    }


def spread(values: Sequence[float]) -> str:
    """Mean, and the sample standard deviation over seeds where there are several."""
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def table(rows: Sequence[Row]) -> str:
    """One line per system: means over seeds."""
    lines = [
        "| system | seeds | parameters, M | MACs, M | student, % | DeiT-like, % | difference | "
        "without teacher, or cut out, % | minutes by stage |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for system in SYSTEMS:
        found = [row for row in rows if row.system == system]
        if not found:
            continue
        beside = [row.beside for row in found if row.beside is not None]
        minutes = ", ".join(
            f"{stage} {statistics.mean(row.seconds[stage] for row in found) / 60:.1f}"
            for stage in found[0].seconds
        )
        lines.append(
            f"| {system} | {len(found)} "
            f"| {spread([row.params / 1e6 for row in found])} "
            f"| {spread([row.flops / 2e6 for row in found])} "
            f"| {spread([row.student for row in found])} "
            f"| {spread([row.equal_size for row in found])} "
            f"| {spread([row.student - row.equal_size for row in found])} "
            f"| {spread(beside) if beside else ''} | {minutes} |"
        )
    return "\n".join(lines)


def page(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The file of results."""
    by_seed = "\n".join(
        f"- {row.system}, seed {row.seed}: {row.student:.2f} against {row.equal_size:.2f}"
        for row in rows
    )
    command = (
        f"python -m bench.systems --data-set {Path(options.data_set).name} --budget "
        f"{options.budget:g} --epochs {options.epochs} --superformer-epochs "
        f"{options.superformer_epochs} --teacher-epochs {options.teacher_epochs} --trials "
        f"{options.trials} --img-size {options.img_size} --seeds {options.seeds}"
    )
    if options.teacher:
        command += f" --teacher {Path(options.teacher).name}"
    return "\n".join(
        [
            "# The three systems from end to end",
            "",
            "One budget and one recipe of students for all (As-ViT sees coarse tokens in half of "
            "the epochs), each beside",
            "the DeiT-like ViT of equal size trained by the same recipe (for TVT with the same "
            "teacher). Accuracies are those of",
            "the test images, read once per network; epochs and candidates were chosen by "
            "held-out images. Spaces:",
            ", ".join(f"{space} for {system}" for system, space in SPACES.items())
            + ". Mean ± sample standard deviation over seeds;",
            "the difference is paired.",
            "",
            "```",
            command,
            "```",
            "",
            machine(),
            "",
            table(rows),
            "",
            "By seed, student against DeiT-like ViT, %:",
            "",
            by_seed,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.systems", description=__doc__)
    parser.add_argument("--data-set", required=True, help="an .npz, a folder, or a name")
    parser.add_argument("--systems", nargs="+", choices=tuple(SYSTEMS), default=tuple(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=2.0, help="million parameters")
    parser.add_argument("--trials", type=int, default=120, help="architectures of a search")
    parser.add_argument("--img-size", type=int, default=32, help="pixels that students see")
    parser.add_argument("--epochs", type=int, default=60, help="of students")
    parser.add_argument("--superformer-epochs", type=int, default=120)
    parser.add_argument("--teacher-epochs", type=int, default=60)
    parser.add_argument("--teacher", help="a teacher of TVT; default a ResNet-20 that is trained")
    parser.add_argument("--output", type=Path, default=Path("runs/systems"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        for system in options.systems:
            result = tvtfast.run(
                options.data_set,
                output_dir=options.output / f"{system}-seed{seed}",
                seed=seed,
                **arguments(system, options),
            )
            rows.append(Row.of(result, seed))
            with replacing(options.results) as target:
                target.write_text(page(rows, options), encoding="utf-8")
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
