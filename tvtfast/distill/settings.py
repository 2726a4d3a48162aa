"""All that the weights of a training depend on, as JSON knows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from tvtfast.data import VisionDataset
from tvtfast.distill.processes import Team
from tvtfast.distill.recipe import Recipe
from tvtfast.hashing import fingerprint


def settings(
    train: VisionDataset,
    test: VisionDataset,
    recipe: Recipe,
    seed: int,
    team: Team,
    model: nn.Module,
) -> dict[str, Any]:
    """What teachers and students have in common; ``model`` is not trained yet."""
    return {
        **asdict(recipe),
        "dataset": train.name,
        "images": [len(train), len(test)],
        "labels": fingerprint(train.labels, test.labels),
        "seed": seed,
        "processes": team.size,
        "weights": fingerprint(*model.state_dict().values()),
    }
