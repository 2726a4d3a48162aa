"""What a whole run will take: the sum of its stages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tvtfast.common.forecast import Forecast, Part
from tvtfast.data import Splits
from tvtfast.pipeline.forecasts.measuring import Small, cores, interval, load, small_run
from tvtfast.pipeline.forecasts.searches import (
    SCORING,
    SmallSearch,
    first_trials,
    search_disk,
    search_parts,
)
from tvtfast.pipeline.forecasts.trainings import (
    SmallTraining,
    first_images,
    some_of,
    training_parts,
)
from tvtfast.pipeline.stages import BASELINE, GROWTH, PLAIN, SEARCH, STUDENT
from tvtfast.training.recipe import Recipe
from tvtfast.training.training_folder import LOG

Run = Callable[[Splits, int, Path], object]
"""The run with other images, so many trials and short recipes, in another folder."""

_STUDENTS = (STUDENT, PLAIN, BASELINE)
_OTHER_STUDENT = 0.25
"""Share by which a forecast may be off at the least: the small runs find another student."""
_MOST_TIMES = 8
"""Images of the second small run over those of the first, at the most."""


@dataclass(frozen=True)
class Asked:
    """What decides how long a run takes.

    Args:
        splits: All images.
        trials: Of its search.
        least_trials: Of the first small search.
        recipes: Of every training, by stage.
        by_held_out: Whether candidates are scored by held-out images, all of them.
    """

    splits: Splits
    trials: int
    least_trials: int
    recipes: Mapping[str, Recipe]
    by_held_out: bool


def forecast_run(run: Run, asked: Asked, *, seconds: float) -> Forecast:
    """Run all stages twice, on few and on more images and candidates, and count every stage on.

    Growth is as long in a small run as in the whole, and is run once.

    Args:
        run: The run.
        asked: Its sizes.
        seconds: What the trainings of the second small run may take, about, and its scoring.
    """
    splits = asked.splits
    batch = max(recipe.batch_size for recipe in asked.recipes.values())
    with small_run() as made:
        some = some_of(splits, first_images(batch, splits))
        first = _run(run, asked, some, first_trials(asked.trials, least=asked.least_trials), made)
        if (made / "first" / GROWTH).is_dir():
            shutil.copytree(made / "first" / GROWTH, made / "second" / GROWTH)
        trained = sum(sum(one.seconds) for one in first.trainings.values())
        times = min(max(2.0, seconds / max(trained, 1e-6)), _MOST_TIMES)
        more = some_of(splits, min(round(times * len(some.train)), len(splits.train)))
        trials = first.search.next_trials(seconds / 2, asked.trials)
        second = _run(run, asked, more, trials, made, name="second")
    parts = [
        *(_training(name, first, second, asked) for name in first.trainings),
        _search(first.search, second.search, asked),
    ]
    if first.growth is not None:
        seconds_of_growth = first.growth.cost.wall_seconds
        parts.append(Part(GROWTH, divided=seconds_of_growth, cores=first.growth.cores))
    parts.append(Part("the rest", max(first.rest, second.rest)))
    low, high = interval(_OTHER_STUDENT)
    disk = second.whole.disk + search_disk(first.search, second.search, asked.trials)
    return Forecast(
        command="run",
        unit="epochs",
        count=asked.recipes[STUDENT].epochs,
        parts=tuple(parts),
        low=low,
        high=high,
        memory=second.whole.cost.host_memory,
        disk=round(disk - second.search.small.disk),
        basis=f"runs on {len(some.train):,} and {len(more.train):,} images, with "
        f"{first.search.trials} and {trials} candidates, were made {load()}; epochs are those of "
        "the student",
    )


@dataclass(frozen=True)
class _SmallRun:
    """What one small run took."""

    whole: Small
    trainings: Mapping[str, SmallTraining]
    search: SmallSearch
    growth: Small | None

    @property
    def rest(self) -> float:
        """Seconds beside the stages with a record."""
        stages = [one.small for one in self.trainings.values()] + [self.search.small]
        stages += [] if self.growth is None else [self.growth]
        return max(0.0, self.whole.cost.wall_seconds - sum(one.cost.wall_seconds for one in stages))


def _run(
    run: Run, asked: Asked, some: Splits, trials: int, made: Path, *, name: str = "first"
) -> _SmallRun:
    folder = made / name
    done_before = (folder / GROWTH).is_dir()
    run(some, trials, folder)
    search = SmallSearch.of(folder / SEARCH, trials)
    if asked.by_held_out and some.held_out is not None and asked.splits.held_out is not None:
        times = len(asked.splits.held_out) / len(some.held_out)
        search = replace(
            search,
            seconds={**search.seconds, SCORING: times * search.seconds[SCORING]},
            processor={**search.processor, SCORING: times * search.processor[SCORING]},
        )
    is_grown = (folder / GROWTH).is_dir() and not done_before
    return _SmallRun(
        Small.of(folder),
        {
            stage: SmallTraining.of(folder / stage, some, recipe.batch_size)
            for stage, recipe in asked.recipes.items()
            if (folder / stage / LOG).is_file()
        },
        search,
        Small.of(folder / GROWTH) if is_grown else None,
    )


def _training(name: str, first: _SmallRun, second: _SmallRun, asked: Asked) -> Part:
    """All of a training; its epochs count where they are those of a student."""
    small = [run.trainings[name] for run in (first, second) if name in run.trainings]
    recipe = asked.recipes[name]
    parts = training_parts(small, asked.splits, recipe)
    fixed, each = sum(part.fixed for part in parts), sum(part.each for part in parts)
    if name not in _STUDENTS:
        fixed, each = fixed + each * recipe.epochs, 0.0
    return Part(name, fixed, each, cores=_mean_cores(parts, recipe.epochs))


def _search(low: SmallSearch, high: SmallSearch, asked: Asked) -> Part:
    parts = search_parts(low, high)
    divided = sum(part.each * asked.trials for part in parts if part.shared)
    fixed = sum(part.seconds(asked.trials) for part in parts) - divided
    busy = _mean_cores(parts, asked.trials)
    return Part(SEARCH, fixed, divided=divided, cores=busy)


def _mean_cores(parts: tuple[Part, ...], count: int) -> float:
    spent = sum(part.cores * part.seconds(count) for part in parts)
    return cores(spent, sum(part.seconds(count) for part in parts))
