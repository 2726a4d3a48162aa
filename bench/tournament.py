"""A tournament against the picks it is meant to beat: ``python -m bench.tournament``.

Seed by seed, candidates of one space inside a budget are drawn and scored, and `tvtfast.tournament`
ends with one student. It is held against the DeiT-like ViT of the same budget, the candidate of the
most parameters, that of the best score, and the best by every proxy, all trained to the end under
the same learning rates. The test images are read once per network.

A run can be stopped at any moment and is continued by the same command; what is finished is not
done again. The file of results is written anew after every run, with one section per data set.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tvtfast
from bench.machine import machine
from tvtfast import spaces
from tvtfast.common.files import replacing, write_json
from tvtfast.data import Splits, load_splits
from tvtfast.distill import DIGITS_TEACHER_RECIPE, Recipe, train_teacher
from tvtfast.models import Teacher
from tvtfast.pipeline import TournamentResult

RESULTS = Path(__file__).with_name("results") / "tournament-cpu.md"
PICKS = {"default": "DeiT-like", "params": "most parameters", "score": "best score"}
_LEAST_SHARE = 0.75


@dataclass(frozen=True)
class Row:
    """One tournament: test accuracies in percent, by role, and what it cost.

    Args:
        seed: Of candidates, weights and trainings.
        winner: Accuracy of the winner.
        roles: Why the winner took part.
        params: Parameters of the winner.
        picks: Accuracy by role of everything it is held against, of roles that the winner has its
            own.
        sizes: Parameters by role.
        held_out: Held-out accuracy of the winner.
        epochs: Of all trainings that the tournament alone took.
        minutes: Of all trainings.
        changed: Whether the first rung changed the ranking of the prior; ``None`` where nothing
            could be fitted.
    """

    seed: int
    winner: float
    roles: tuple[str, ...]
    params: int
    picks: Mapping[str, float]
    sizes: Mapping[str, int]
    held_out: float
    epochs: int
    minutes: float
    changed: bool | None

    @classmethod
    def of(cls, found: TournamentResult, seed: int) -> Row:
        """What a tournament ended with."""
        picks, sizes = {}, {}
        for one in found.finalists:
            for role in one.roles:
                trained = found.by_role(role) if one.compared else None
                if trained is not None:
                    picks[role], sizes[role] = trained.accuracy, one.params
        held_out = found.student.held_out_accuracy
        assert held_out is not None
        return cls(
            seed,
            found.student.accuracy,
            found.winner.roles,
            found.winner.params,
            picks,
            sizes,
            held_out,
            sum(found.rungs.epochs[found.played[one.name] - 1] for one in found.finalists),
            sum(course.seconds for course in found.courses.values()) / 60,
            None if found.calibration is None else found.calibration.changed,
        )


def error(values: Sequence[float]) -> float:
    """Standard error of a mean; NaN of a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean, and its standard error over seeds where there are several."""
    mean = f"{statistics.mean(values):{sign}.2f}"
    return f"{mean} ± {error(values):.2f}" if len(values) > 1 else mean


def verdict(differences: Sequence[float]) -> str:
    """Whether a mean difference is more than its standard error."""
    if len(differences) < 2:
        return "one seed"
    mean = statistics.mean(differences)
    if abs(mean) <= error(differences):
        return "within one standard error"
    return "the winner, beyond one" if mean > 0 else "the pick, beyond one"


def table(rows: Sequence[Row]) -> str:
    """One line per pick: means over seeds, differences of pairs of one seed."""
    lines = [
        "| | seeds | parameters, M | test accuracy, % | winner less this | more than the standard "
        "error? |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| winner of the tournament | {len(rows)} | {spread([row.params / 1e6 for row in rows])} "
        f"| {spread([row.winner for row in rows])} | | |",
    ]
    for role in dict.fromkeys(role for row in rows for role in row.picks):
        found = [row for row in rows if role in row.picks]
        differences = [row.winner - row.picks[role] for row in found]
        lines.append(
            f"| {PICKS.get(role, f'best by {role}')} | {len(found)} "
            f"| {spread([row.sizes[role] / 1e6 for row in found])} "
            f"| {spread([row.picks[role] for row in found])} "
            f"| {spread(differences, '+')} | {verdict(differences)} |"
        )
    return "\n".join(lines)


def section(name: str, command: str, facts: str, rows: Sequence[Row]) -> str:
    """What is printed of one data set."""
    by_seed = [
        f"- seed {row.seed}: {row.winner:.2f} ({', '.join(row.roles)}; held out "
        f"{row.held_out:.2f}) against {row.picks.get('default', math.nan):.2f} of the DeiT-like; "
        f"{row.epochs} epochs, with the comparison {row.minutes:.1f} minutes; "
        + {
            None: "nothing could be fitted to the first rung",
            True: "the first rung changed the ranking of the prior",
            False: "the first rung did not change the ranking of the prior",
        }[row.changed]
        for row in rows
    ]
    return "\n".join(
        [f"## {name}", "", "```", command, "```", "", facts, "", table(rows), "", *by_seed, ""]
    )


def page(sections: Mapping[str, str]) -> str:
    """The file of results."""
    head = [
        "# Tournaments",
        "",
        "The winner is chosen by held-out images alone; accuracies are those of the test images, "
        "read once per network. All",
        "networks of a line had the same epochs under the same learning rates. Mean ± standard "
        "error over seeds; differences are",
        "paired. A pick that won stands in its own line with difference 0.",
        "",
    ]
    return "\n".join(head) + "\n" + "\n".join(sections.values())


def splits_of(options: argparse.Namespace) -> Splits:
    """The data set, or the first images of those to train on."""
    found = load_splits(options.data_set)
    if options.images is None:
        return found
    some = found.train.chosen(range(min(options.images, len(found.train))), found.train.split)
    return replace(found, train=some)


def teacher_of(options: argparse.Namespace, splits: Splits) -> Teacher | str:
    """The one that is given, or a ResNet-8 that is trained once."""
    if options.teacher:
        return str(options.teacher)
    recipe = {**asdict(DIGITS_TEACHER_RECIPE), "epochs": options.teacher_epochs}
    return train_teacher(
        "resnet8",
        splits.train,
        test=splits.test,
        held_out=splits.held_out,
        output_dir=options.output / "teacher",
        recipe=Recipe(**recipe),
        device="cpu",
        progress=True,
    )


def played(options: argparse.Namespace, splits: Splits, teacher: Teacher | str, seed: int) -> Row:
    """One tournament, from drawn candidates on."""
    train = splits.train
    model = {
        "num_classes": train.num_classes,
        "img_size": options.img_size,
        "patch_size": options.patch_size,
    }
    budget = 1e6 * options.budget
    space = spaces.get(options.space)
    window = {"params": (_LEAST_SHARE * budget, budget)}
    folder = options.output / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    scores = tvtfast.score(
        space.sample(options.candidates, seed, window, **model),
        space=space,
        proxies=options.proxies,
        teacher=teacher,
        images=train,
        seed=seed,
        device="cpu",
        store=folder / "scores.sqlite",
        **model,
    )
    augmentation = "light" if train.name == "digits" else "weak"
    found = tvtfast.tournament(
        scores,
        train,
        teacher,
        test=splits.test,
        held_out=splits.held_out,
        output_dir=folder / "tournament",
        space=space,
        budget=budget,
        finalists=options.finalists,
        recipe=Recipe(
            epochs=options.epochs, batch_size=32, lr=options.lr, augmentation=augmentation
        ),
        seed=seed,
        device="cpu",
        progress=True,
        **model,
    )
    return Row.of(found, seed)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.tournament", description=__doc__)
    parser.add_argument("--data-set", default="digits", help="an .npz, a folder, or a name")
    parser.add_argument("--images", type=int, help="to train on; default all")
    parser.add_argument("--space", default="pit")
    parser.add_argument("--budget", type=float, default=0.5, help="million parameters")
    parser.add_argument("--img-size", type=int, default=32, help="pixels")
    parser.add_argument("--patch-size", type=int, default=8)
    parser.add_argument("--candidates", type=int, default=200, help="that are drawn and scored")
    parser.add_argument("--proxies", nargs="+", default=["teacher_aware", "weight_norm", "naswot"])
    parser.add_argument("--finalists", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=24, help="of the last rung")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--teacher", help="default a ResNet-8 that is trained")
    parser.add_argument("--teacher-epochs", type=int, default=20)
    parser.add_argument("--output", type=Path, help="default runs/tournament-DATA-SET-PXpx")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    name = f"{Path(options.data_set).stem}, {options.img_size} px"
    folder = f"tournament-{Path(options.data_set).stem}-{options.img_size}px"
    options.output = options.output or Path("runs") / folder
    options.output.mkdir(parents=True, exist_ok=True)
    kept = options.results.with_suffix(".json")
    flags = {"data-set": Path(options.data_set).name, "space": options.space} | {
        flag: getattr(options, flag.replace("-", "_"))
        for flag in (
            *(
                "budget",
                "img-size",
                "patch-size",
                "candidates",
                "finalists",
                "epochs",
                "lr",
                "seeds",
            ),
            *(("images",) if options.images else ()),
            *(("teacher",) if options.teacher else ("teacher-epochs",)),
        )
    }
    if options.teacher:
        flags["teacher"] = Path(options.teacher).name
    command = "python -m bench.tournament " + " ".join(f"--{k} {v}" for k, v in flags.items())
    command += " --proxies " + " ".join(options.proxies)
    splits = splits_of(options)
    teacher = teacher_of(options, splits)
    rows: list[Row] = []
    for seed in range(options.seeds):
        rows.append(played(options, splits, teacher, seed))
        known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        known[name] = section(name, command, machine(), rows)
        write_json(kept, known)
        with replacing(options.results) as target:
            target.write_text(page(known), encoding="utf-8")
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
