"""Flags that name a teacher, the same in every command that takes one."""

from __future__ import annotations

import logging
from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvtfast.models import Teacher

_log = logging.getLogger("tvtfast.models")


def add_teacher_options(group: Any, otherwise: str) -> None:
    """``--teacher``, ``--teacher-checkpoint`` and ``--teacher-pretrained``: what `given_teacher`
    reads.

    Args:
        group: A parser, or a group of its flags.
        otherwise: What happens without them.
    """
    group.add_argument(
        "--teacher",
        type=str | None,
        default=None,
        help="name of a model (resnet56 and other CIFAR ResNets, any of timm or torchvision), "
        f"teacher folder, or checkpoint of a CIFAR ResNet or a torchvision model; {otherwise}",
    )
    group.add_argument(
        "--teacher-checkpoint",
        type=str | None,
        default=None,
        help="weights of a teacher by name (.safetensors or torch.save); its classes are read from "
        "them",
    )
    group.add_argument(
        "--teacher-pretrained",
        type=bool,
        default=False,
        help="take the published weights of a teacher by name",
    )


def given_teacher(cfg: Namespace) -> Teacher | None:
    """The teacher of the flags, said in one line on standard error; ``None`` without flags.

    Raises:
        ValueError: Flags that do not go together, or what `tvtfast.load_teacher` raises.
    """
    from tvtfast.models import load_teacher

    source, checkpoint = cfg.teacher, cfg.teacher_checkpoint
    if source is None and cfg.teacher_pretrained:
        raise ValueError("--teacher-pretrained is for a teacher by name; give --teacher NAME")
    if source is None and checkpoint is None:
        return None
    if source is None:
        source, checkpoint = checkpoint, None
    teacher = load_teacher(
        source, checkpoint=checkpoint, pretrained=cfg.teacher_pretrained, device=cfg.device
    )
    say(teacher)
    return teacher


def say(teacher: Teacher) -> None:
    """Name a teacher in one line: classes, input, normalisation, weights."""
    from tvtfast.training.processes import announces

    if announces():
        _log.info("%s", teacher)
