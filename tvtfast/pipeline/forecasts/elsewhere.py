"""Forecasts for a device that is not here: work is counted in small runs on this CPU."""

from __future__ import annotations

from functools import partial

from tvtfast.common.forecast import Forecast
from tvtfast.data import Splits
from tvtfast.pipeline.forecasts.counting import Work, call_seconds, counted
from tvtfast.pipeline.forecasts.devices import Device, on_device
from tvtfast.pipeline.forecasts.measuring import small_run
from tvtfast.pipeline.forecasts.searches import SCORING, Search
from tvtfast.pipeline.forecasts.trainings import (
    HELD_OUT,
    LOOKING,
    TEST,
    TRAINING,
    Train,
    first_images,
    short,
    some_of,
)
from tvtfast.training.recipe import Recipe

_FEW = 4
"""Candidates whose work is counted, and as many again: too few for a race."""


def search_on(device: Device, dtype: str, forecast: Forecast, search: Search) -> Forecast:
    """A forecast of a search, scored on a device. That many candidates share their beginnings, and
    that a race shows most of them fewer images, is not counted.

    Args:
        device: The device.
        dtype: Number format of scoring.
        forecast: As `tvtfast.pipeline.forecasts.forecast_search` made it.
        search: As given to it.
    """
    few, many = _FEW, 2 * _FEW
    with small_run() as made:
        first = counted(partial(search, few, made / "first"))
        second = counted(partial(search, many, made / "second"))
    each = {SCORING: (second - first) * (1 / (many - few))}
    return on_device(
        forecast,
        device,
        dtype,
        each,
        {},
        call_seconds(),
        sharing=f"as of {many} candidates, all images for each; more share more, and a race shows "
        "fewer",
    )


def training_on(
    device: Device, recipe: Recipe, forecast: Forecast, train: Train, splits: Splits
) -> Forecast:
    """A forecast of a training, on a device.

    Args:
        device: The device.
        recipe: Of the whole training.
        forecast: As `tvtfast.pipeline.forecasts.forecast_training` made it.
        train: As given to it.
        splits: All images.
    """
    few = max(recipe.batch_size, first_images(recipe.batch_size, splits) // 2)
    work = []
    for images in (few, 2 * few):
        some = some_of(splits, min(images, len(splits.train)))
        alone = Splits(some.train, None, some_of(splits, 1).test, splits.share)
        with small_run() as made:
            work.append(counted(partial(train, alone, made / "run")))
    epochs = short(recipe).epochs
    image = (work[1] - work[0]) * (1 / (few * epochs))
    images = len(splits.train) // recipe.batch_size * recipe.batch_size
    held_out = 0 if splits.held_out is None else len(splits.held_out)
    each = {TRAINING: image * images, HELD_OUT: image * (LOOKING * held_out)}
    fixed: dict[str, Work] = {TEST: image * (LOOKING * len(splits.test))}
    return on_device(
        forecast,
        device,
        recipe.dtype,
        each,
        fixed,
        call_seconds(),
        loading="images come as fast as the device takes them",
    )
