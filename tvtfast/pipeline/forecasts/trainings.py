"""What a training will take."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tvtfast.common.forecast import Forecast, Part
from tvtfast.common.run_folder import read_record
from tvtfast.data import Splits, VisionDataset
from tvtfast.pipeline.forecasts.measuring import Small, cores, interval, load, small_run
from tvtfast.training.recipe import Recipe
from tvtfast.training.tokens import ProgressiveTokens
from tvtfast.training.trainer import FILE_SECONDS
from tvtfast.training.training_folder import LOG

Train = Callable[[Splits, Path], object]
"""The training of few epochs on other images, in another folder."""

SET_UP, TRAINING, FILES = "set-up", "training", "files"
HELD_OUT, TEST = "held-out images", "test images"
_STEPS = 2
"""Batches of the smallest training."""
LOOKING = 1 / 3
"""Time to look at an image over that to train on it, where no image is looked at."""


def short(recipe: Recipe) -> Recipe:
    """A recipe of as few epochs as it can have: one, or one per phase of progressive tokens."""
    return replace(recipe, epochs=_least_epochs(recipe.tokens), warmup_epochs=0)


def first_images(batch_size: int, splits: Splits) -> int:
    """Images of the smallest training."""
    return min(_STEPS * batch_size, len(splits.train))


@dataclass(frozen=True)
class SmallTraining:
    """What one small training took.

    Args:
        epoch_images: Images that an epoch trained on.
        held_out: Images that an epoch looked at.
        test: Images that were looked at in the end.
        seconds: Of every epoch.
        trained: Seconds of every epoch without its held-out images.
        dilations: Of the tokens in every epoch; 1 for all of them.
        files: Seconds that files took, all epochs.
        small: What its record says.
    """

    epoch_images: int
    held_out: int
    test: int
    seconds: tuple[float, ...]
    trained: tuple[float, ...]
    dilations: tuple[int, ...]
    files: float
    small: Small

    @classmethod
    def of(cls, folder: Path, splits: Splits, batch_size: int) -> SmallTraining:
        """Of the training in a folder."""
        with open(folder / LOG, encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        images = len(splits.train) // batch_size * batch_size
        return cls(
            epoch_images=images,
            held_out=0 if splits.held_out is None else len(splits.held_out),
            test=len(splits.test),
            seconds=tuple(float(row["seconds"]) for row in rows),
            trained=tuple(images / float(row["images_per_second"]) for row in rows),
            dilations=tuple(int(float(row.get("dilation") or 1)) for row in rows),
            files=float((read_record(folder) or {}).get(FILE_SECONDS, 0.0)),
            small=Small.of(folder),
        )

    def rate(self, recipe: Recipe) -> float:
        """Seconds per image of an epoch, the mean over the epochs of a recipe."""
        taken = dict(zip(self.dilations, self.trained, strict=True))
        tokens, epochs = recipe.tokens, recipe.epochs
        if tokens is None:
            return self.trained[-1] / self.epoch_images
        seen = [taken[tokens.dilation(epoch, epochs)] for epoch in range(epochs)]
        return sum(seen) / epochs / self.epoch_images

    @property
    def looking(self) -> float:
        """Seconds to look at an image."""
        if not self.held_out:
            return self.trained[-1] / self.epoch_images * LOOKING
        return max(0.0, self.seconds[-1] - self.trained[-1]) / self.held_out

    @property
    def rest(self) -> float:
        """Seconds beside the epochs, their files, and the test images."""
        wall = self.small.cost.wall_seconds
        return max(0.0, wall - sum(self.seconds) - self.files - self.looking * self.test)


def training_parts(
    small: list[SmallTraining], splits: Splits, recipe: Recipe, *, offline: bool = False
) -> tuple[Part, ...]:
    """Set-up as it is met first, and everything else by images.

    Args:
        small: Small trainings, smallest first.
        splits: All images.
        recipe: Of the whole training.
        offline: Whether set-up looks at every training image, as for features of a teacher that are
            kept.
    """
    first, last = small[0], small[-1]
    rate = last.rate(recipe)
    # the first epoch of a process imports and allocates, as that of the whole training will
    late = max(0.0, sum(first.trained) - _of_last(first, last))
    held_out = 0 if splits.held_out is None else len(splits.held_out)
    busy, others = _cores(first, last)
    set_up = first.rest + late
    if offline:
        warm = small[-2] if len(small) > 2 else first
        grown = last.rest - warm.rest
        each = max(0.0, grown) / max(1, last.epoch_images - warm.epoch_images)
        set_up += each * (len(splits.train) - first.epoch_images)
    images = len(splits.train) // recipe.batch_size * recipe.batch_size
    return (
        Part(SET_UP, fixed=set_up, cores=others),
        Part(TRAINING, each=images * rate, shared=True, cores=busy),
        Part(HELD_OUT, each=held_out * last.looking, shared=True, cores=busy),
        Part(FILES, each=last.files / len(last.seconds)),
        Part(TEST, fixed=len(splits.test) * last.looking, cores=busy),
    )


def forecast_training(
    command: str,
    train: Train,
    splits: Splits,
    *,
    recipe: Recipe,
    seconds: float,
    offline: bool = False,
) -> Forecast:
    """Train an epoch on some of the images, on twice as many until that takes long enough, and
    count on from images per second.

    Args:
        command: What runs.
        train: The training, by the recipe of `short`.
        splits: All images.
        recipe: Of the whole training.
        seconds: What the longest small training may take, about.
        offline: See `training_parts`.
    """
    images, found = first_images(recipe.batch_size, splits), []
    while True:
        some = some_of(splits, images)
        with small_run() as made:
            train(some, made / "run")
            found.append(SmallTraining.of(made / "run", some, recipe.batch_size))
        whole = images == len(splits.train)
        enough = sum(found[-1].seconds) >= seconds / 2 and (len(found) > 2 or not offline)
        if whole or enough:
            break
        images = min(2 * images, len(splits.train))
    last = found[-1]
    rates = [one.rate(recipe) for one in found[-2:]]
    low, high = interval((max(rates) / min(rates) - 1) / 2)
    return Forecast(
        command=command,
        unit="epochs",
        count=recipe.epochs,
        parts=training_parts(found, splits, recipe, offline=offline),
        low=low,
        high=high,
        memory=last.small.cost.host_memory,
        disk=last.small.disk,
        basis=f"{images:,} images were trained on and {last.held_out + last.test:,} evaluated "
        f"{load()}",
    )


def some_of(splits: Splits, images: int) -> Splits:
    """A part of all three splits, training images evenly spread over the whole."""
    share = images / len(splits.train)
    held_out = splits.held_out
    return Splits(
        _part(splits.train, images),
        None if held_out is None else _part(held_out, max(1, round(share * len(held_out)))),
        _part(splits.test, max(1, round(share * len(splits.test)))),
        splits.share,
    )


def _part(images: VisionDataset, count: int) -> VisionDataset:
    rows = [number * len(images) // count for number in range(count)]
    return images.chosen(rows, images.split)


def _least_epochs(tokens: ProgressiveTokens | None) -> int:
    epochs = 1
    while tokens is not None:
        try:
            tokens.lengths(epochs)
            break
        except ValueError:
            epochs += 1
    return epochs


def _of_last(first: SmallTraining, last: SmallTraining) -> float:
    """What the epochs of the first small training would have taken at the rate of the last."""
    return sum(last.trained) * first.epoch_images / last.epoch_images


def _cores(first: SmallTraining, last: SmallTraining) -> tuple[float, float]:
    """Processor seconds per second of all that is done with images, and of the rest."""
    if first is last:
        return last.small.cores, last.small.cores
    before, after = first.small.cost, last.small.cost
    threads = float(after.threads)
    alone = last.rest + last.files  # one thread sets up and writes
    worked = after.wall_seconds - alone
    busy = min(threads, cores(after.processor_seconds - alone, worked))
    begun = before.processor_seconds - busy * _of_last(first, last)
    return busy, min(threads, cores(begun, before.wall_seconds - _of_last(first, last)))
