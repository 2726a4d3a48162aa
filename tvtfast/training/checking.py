"""What every training refuses before it reads, draws or computes anything."""

from __future__ import annotations

import os

import torch

from tvtfast.common import checks
from tvtfast.common.files import check_folder
from tvtfast.common.machine import as_device


def check_training(
    *,
    seed: int,
    workers: int,
    device: torch.device | str | None,
    img_size: int | None = None,
    output_dir: str | os.PathLike[str],
) -> None:
    """Refuse arguments that all trainings have, where they are out of range.

    Raises:
        ValueError: A number out of range, or a device that is not there.
        OutputError: The folder cannot be written.
    """
    checks.seed(seed)
    checks.whole("workers", workers, least=0)
    if img_size is not None:
        checks.whole("img_size", img_size, least=1)
    as_device(device)
    check_folder("output_dir", output_dir)
