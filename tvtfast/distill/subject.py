"""What is trained, from whatever a caller has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tvtfast import spaces
from tvtfast.common.fallbacks import logger
from tvtfast.data import VisionDataset
from tvtfast.models import StudentCard, build
from tvtfast.models.checkpoint import load_weights
from tvtfast.models.fitting import FOLDER_ADVICE, fit
from tvtfast.models.student import CARD, WEIGHTS, read_student_card
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space
from tvtfast.training.processes import announces


@dataclass(frozen=True)
class Subject:
    """A network before training.

    Args:
        module: The network.
        card: Its description, with nothing yet on how it was trained.
    """

    module: nn.Module
    card: StudentCard

    @property
    def side(self) -> int:
        """Side of its square images, in pixels."""
        height, width = self.card.img_size
        if height != width:
            raise ValueError(
                f"img_size {height} x {width}: images are resized to squares; give one side"
            )
        return height


def subject(
    student: Any,
    space: str | Space[Any] | None,
    train: VisionDataset,
    *,
    distilled: bool,
    seed: int,
    given: dict[str, Any],
) -> Subject:
    """The network that an architecture, its description or a module stands for.

    Args:
        student: As in `tvtfast.distill.distill`. Of a student folder come architecture, options and
            weights.
        space: As in `tvtfast.distill.distill`.
        train: The images it is trained on.
        distilled: Add a distillation token.
        seed: Of its weights.
        given: Model options of the caller, which win over those of a description.
    """
    if isinstance(student, nn.Module):
        unknown = sorted(set(given) - {"img_size"})
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} cannot be set for a module; build it as you want it"
            )
        side = given.get("img_size", train.img_size)
        options = {"num_classes": train.num_classes, "img_size": _pair(side)}
        return Subject(student, _card(None, None, options, train))
    folder = _student_folder(student)
    described = None if folder is None else read_student_card(folder)
    found = read_architecture(student) if described is None else asdict(described.card)
    stated: dict[str, Any] = {"img_size": train.img_size}
    if isinstance(found, Mapping) and "arch" in found:
        space = space or found.get("space")
        stated |= found.get("model_options") or {}
        found = found["arch"]
    if space is None:
        raise ValueError("name the space of the architecture: space='autoformer-tiny'")
    if distilled:
        given = {**given, "distilled": True}
    resolved = ModelOptions.of(**{**stated, **given, "num_classes": train.num_classes})
    options = {**asdict(resolved), "img_size": list(resolved.img_size)}
    known = get_space(space)
    decoded = known.decode(found)
    if announces() and (remark := known.note_outside([decoded])):
        logger.warning(remark)
    arch = known.to_dict(decoded)
    module = build(arch, space=known, seed=seed, **asdict(resolved))
    if folder is not None and described is not None:
        weights = load_weights(folder / WEIGHTS, described.digest)
        fit(module, weights, folder / WEIGHTS, advice=FOLDER_ADVICE)
    return Subject(module, _card(known.name, arch, options, train))


def _card(
    space: str | None, arch: dict[str, Any] | None, options: dict[str, Any], train: VisionDataset
) -> StudentCard:
    return StudentCard(
        space=space,
        arch=arch,
        model_options=options,
        normalization=train.normalization,
        classes=train.classes,
        dataset=train.name,
        accuracy=None,
        recipe={},
    )


def _student_folder(student: Any) -> Path | None:
    """The folder whose weights are trained on, if it is one."""
    if not isinstance(student, (str, os.PathLike)) or os.fspath(student).lstrip().startswith("{"):
        return None
    path = Path(student)
    if not path.is_dir():
        return None
    if not (path / CARD).exists():
        raise FileNotFoundError(
            f"{path} is not a student folder: it has no {CARD}; give a student folder, the "
            "best.json of a search, or an architecture as JSON"
        )
    return path


def read_architecture(student: Any) -> Any:
    """What a caller names an architecture by: a description, or a text as
    `tvtfast.spaces.read_architecture` takes it, which becomes one."""
    if not isinstance(student, (str, os.PathLike)):
        return student
    return asdict(spaces.read_architecture(os.fspath(student)))


def _pair(side: int | tuple[int, int]) -> list[int]:
    return [side, side] if isinstance(side, int) else list(side)
