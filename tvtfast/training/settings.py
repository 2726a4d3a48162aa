"""All that the weights of a training depend on, as JSON knows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from tvtfast.common.hashing import fingerprint
from tvtfast.data import VisionDataset
from tvtfast.training.processes import Team
from tvtfast.training.recipe import Recipe


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
        "pixels": [train.fingerprint, test.fingerprint],
        "seed": seed,
        "processes": team.size,
        "weights": fingerprint(*model.state_dict().values()),
    }
