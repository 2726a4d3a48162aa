"""All that the weights of a training depend on, as JSON knows it."""

from __future__ import annotations

from collections.abc import Mapping
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
        "seed": seed,
        "processes": team.size,
        "weights": fingerprint(*model.state_dict().values()),
    }


def differences(found: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What changed from one set of settings to another, in words; empty where nothing did."""
    return "; ".join(
        f"{name} was {found.get(name)!r}, now {given.get(name)!r}"
        for name in sorted(found.keys() | given.keys())
        if found.get(name) != given.get(name)
    )
