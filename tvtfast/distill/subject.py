"""What is trained, from whatever a caller has."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from tvtfast import spaces
from tvtfast.common import checks
from tvtfast.common.fallbacks import logger
from tvtfast.common.names import did_you_mean
from tvtfast.data import VisionDataset
from tvtfast.models import StudentCard, build
from tvtfast.models.checkpoint import load_weights
from tvtfast.models.fitting import FOLDER_ADVICE, fit
from tvtfast.models.model_folder import Described
from tvtfast.models.named import is_timm, timm_names
from tvtfast.models.student import CARD, WEIGHTS, read_student_card
from tvtfast.models.timm_network import fitted
from tvtfast.spaces import ModelOptions, Space
from tvtfast.spaces import get as get_space
from tvtfast.training.processes import announces

_TIMM_OPTIONS = ("img_size", "patch_size", "drop_path_rate")


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
    network = timm_name(student) if described is None else described.card.timm
    if network is not None:
        if space is not None:
            raise ValueError(f"space is given, and {student!r} is a model of timm; leave it out")
        made = _of_timm(network, train, seed, given)
        if folder is not None and described is not None:
            _continue(made.module, folder, described)
        return made
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
    if known.name not in spaces.available() or get_space(known.name) != known:
        raise ValueError(
            f"space {known.name!r} is not registered, and the folder of a student names it; call "
            "tvtfast.spaces.register(space) first"
        )
    decoded = known.decode(found)
    if announces() and (remark := known.note_outside([decoded])):
        _remark(remark)
    arch = known.to_dict(decoded)
    module = build(arch, space=known, seed=seed, **asdict(resolved))
    if folder is not None and described is not None:
        _continue(module, folder, described)
    return Subject(module, _card(known.name, arch, options, train))


@functools.cache
def _remark(text: str) -> None:
    """Warn of something once: a tournament trains one architecture many times over."""
    logger.warning(text)


def _continue(module: nn.Module, folder: Path, described: Described[StudentCard]) -> None:
    """Give a network the weights of a student folder."""
    weights = load_weights(folder / WEIGHTS, described.digest)
    fit(module, weights, folder / WEIGHTS, advice=FOLDER_ADVICE)


def _of_timm(
    network: str | Mapping[str, Any], train: VisionDataset, seed: int, given: Mapping[str, Any]
) -> Subject:
    """A model of timm, by its name or as a card describes it."""
    foreign = sorted(set(given) - set(_TIMM_OPTIONS))
    if foreign:
        raise ValueError(
            f"{', '.join(foreign)} cannot be set for a model of timm; it takes "
            f"{', '.join(_TIMM_OPTIONS)}"
        )
    described: Mapping[str, Any] = (
        {"name": network, "arguments": {}} if isinstance(network, str) else network
    )
    stated = {
        name: value for name, value in described["arguments"].items() if name in _TIMM_OPTIONS
    }
    options = {"img_size": train.img_size, **stated, **given}
    side = checks.whole("img_size", options.pop("img_size"), least=1)
    made = fitted(described["name"], num_classes=train.num_classes, side=side, **options)
    if announces() and made.arguments:
        arguments = ", ".join(f"{name}={value}" for name, value in made.arguments.items())
        logger.info("timm's %s is built with %s", made.name, arguments)
    card = _card(None, None, {"num_classes": train.num_classes, "img_size": [side, side]}, train)
    timm = {"name": made.name, "arguments": dict(made.arguments)}
    return Subject(made.build(seed), replace(card, timm=timm))


def timm_name(student: Any) -> str | None:
    """The name of a model of timm, where a text is one and no file has that name."""
    if not isinstance(student, str) or not re.fullmatch(r"[A-Za-z]\w*(\.\w+)?", student):
        return None
    return student if not Path(student).exists() and is_timm(student) else None


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
    text = os.fspath(student)
    try:
        return asdict(spaces.read_architecture(text))
    except FileNotFoundError as error:
        close = did_you_mean(text, timm_names()) if re.fullmatch(r"\w+", text) else ""
        raise FileNotFoundError(f"{error}; or the name of a model of timm{close}") from None


def _pair(side: int | tuple[int, int]) -> list[int]:
    return [side, side] if isinstance(side, int) else list(side)
