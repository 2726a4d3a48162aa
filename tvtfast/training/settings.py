"""All that the weights of a training depend on, as JSON knows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from tvtfast.common.hashing import fingerprint
from tvtfast.data import Splits
from tvtfast.training.processes import Team
from tvtfast.training.recipe import Recipe


def settings(
    splits: Splits, recipe: Recipe, seed: int, team: Team, model: nn.Module
) -> dict[str, Any]:
    """What teachers and students have in common; ``model`` is not trained yet.

    Lists of images, labels and pixels are of the training images, those held out and those of the
    test, in this order. ``step_images`` are those of all processes: a training may go on with
    another number of them, if steps stay what they are.
    """
    parts = [part for part in (splits.train, splits.held_out, splits.test) if part is not None]
    return {
        **asdict(recipe),
        "dataset": splits.train.name,
        "search_split": splits.share,
        "images": [len(part) for part in parts],
        "labels": fingerprint(*(part.labels for part in parts)),
        "pixels": [part.fingerprint for part in parts],
        "seed": seed,
        "processes": team.size,
        "step_images": recipe.batch_size * team.size,
        "weights": fingerprint(*model.state_dict().values()),
    }
