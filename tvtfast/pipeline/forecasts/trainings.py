"""What a training will take."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from tvtfast.common.forecast import Forecast, Part
from tvtfast.common.run_folder import cost_of, read_record
from tvtfast.data import Splits, VisionDataset
from tvtfast.pipeline.forecasts.measuring import LEAST_DOUBT, load, size_of, small_run
from tvtfast.training.training_folder import LOG

Train = Callable[[Splits, Path], object]
"""The training of one epoch on other images, in another folder."""

_STEPS = 2
"""Batches of the smallest training."""


def forecast_training(
    command: str, train: Train, splits: Splits, *, epochs: int, batch_size: int, seconds: float
) -> Forecast:
    """Train an epoch on some of the images, on twice as many until that takes long enough, and
    count on from images per second.

    Args:
        command: What runs.
        train: The training.
        splits: All images.
        epochs: Of the whole training.
        batch_size: Images per step.
        seconds: What the longest small training may take, about.
    """
    images, rates = min(_STEPS * batch_size, len(splits.train)), []
    while True:
        with small_run() as made:
            folder = made / "run"
            some = _some(splits, images)
            train(some, folder)
            row = _row(folder)
            cost = cost_of(read_record(folder))
            disk = size_of(folder)
        trained = len(some.train) // batch_size * batch_size / row["images_per_second"]
        rates.append(1 / row["images_per_second"])
        if row["seconds"] >= seconds / 2 or images == len(splits.train):
            break
        images = min(2 * images, len(splits.train))
    held_out = 0 if some.held_out is None else len(some.held_out)
    looked_at = held_out + len(some.test)
    # the last image that is looked at is one of the test; both are evaluated alike
    each = max(0.0, row["seconds"] - trained) / held_out if held_out else rates[-1] / 3
    rest = max(0.0, cost.wall_seconds - row["seconds"] - each * len(some.test))
    all_held_out = 0 if splits.held_out is None else len(splits.held_out)
    spread = max(LEAST_DOUBT, (max(rates[-2:]) / min(rates[-2:]) - 1) / 2)
    return Forecast(
        command=command,
        unit="epochs",
        count=epochs,
        parts=(
            Part("set-up and files", fixed=rest),
            Part("training", each=len(splits.train) * rates[-1], shared=True),
            Part("held-out images", each=all_held_out * each, shared=True),
            Part("test images", fixed=len(splits.test) * each),
        ),
        low=1 / (1 + spread),
        high=1 + spread,
        memory=cost.host_memory,
        disk=disk,
        basis=f"{images:,} images were trained on and {looked_at:,} evaluated {load()}",
    )


def _some(splits: Splits, images: int) -> Splits:
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


def _row(folder: Path) -> dict[str, float]:
    with open(folder / LOG, encoding="utf-8", newline="") as text:
        last = list(csv.DictReader(text))[-1]
    return {name: float(last[name]) for name in ("seconds", "images_per_second")}
