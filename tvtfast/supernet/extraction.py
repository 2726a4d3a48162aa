"""A candidate cut out of a superformer: its own weights, no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from tvtfast.data import VisionDataset
from tvtfast.models import CandidateModel, Student, StudentCard, blank, save_student
from tvtfast.supernet.folder import TrainedSuperformer, load_superformer
from tvtfast.supernet.inherited import InheritedAccuracy
from tvtfast.supernet.superformer import Superformer


@torch.no_grad()
def cut_out(superformer: Superformer, arch: Any, *, side: int = 0) -> CandidateModel:
    """The stand-alone module of a candidate with copies of its weights, in evaluation mode.

    It computes what the superformer computes for this architecture (and side, for ``bilateral``).

    Args:
        superformer: Where the weights come from.
        arch: An architecture of its space, in any encoding.
        side: Which channels, see `Superformer.weights`.
    """
    decoded = superformer.space.check_inside(arch)
    weights = superformer.weights(decoded, side)
    module = blank(decoded, space=superformer.space, **asdict(superformer.options))
    stored = next(superformer.parameters())
    module.to(stored.dtype).to_empty(device=stored.device)
    module.load_state_dict({name: value.clone() for name, value in weights.items()})
    return module.eval()


def extract(
    superformer: TrainedSuperformer | str | os.PathLike[str],
    arch: Any | Mapping[str, Any] | str,
    output_dir: str | os.PathLike[str] | None = None,
    *,
    evaluation: VisionDataset | None = None,
    side: int = 0,
) -> Student:
    """Cut a candidate out of a superformer as a student that needs the superformer no more.

    Args:
        superformer: A superformer folder, or what was loaded from one.
        arch: An architecture of its space, in any encoding, or the content of a ``best.json``.
        output_dir: Where to write a student folder, which `tvtfast.models.load_student`, ``tvtfast
            export`` and ``tvtfast predict`` read and `tvtfast.distill.distill` trains on.
        evaluation: Images that the accuracy of the card is measured on; without them it is unknown.
        side: Which channels, see `Superformer.weights`.

    Raises:
        ValueError: An architecture outside the space, or a side that does not exist.
    """
    loaded = (
        superformer
        if isinstance(superformer, TrainedSuperformer)
        else load_superformer(superformer)
    )
    model, card = loaded.model, loaded.card
    if isinstance(arch, Mapping) and "arch" in arch:
        arch = arch["arch"]
    module = cut_out(model, arch, side=side).cpu()
    accuracy = None
    if evaluation is not None:
        accuracy = InheritedAccuracy(loaded, evaluation)(arch, side=side)
    described = StudentCard(
        space=card.space,
        arch=model.space.to_dict(model.space.decode(arch)),
        model_options=card.model_options,
        normalization=card.normalization,
        classes=card.classes,
        dataset=card.dataset,
        accuracy=accuracy,
        recipe={
            "inherited_from": loaded.fingerprint,
            "side": side,
            "superformer": dict(card.recipe),
        },
    )
    if output_dir is not None:
        save_student(output_dir, module, described)
    return Student(module, described)
