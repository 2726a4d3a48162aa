"""Curves in other programs: TensorBoard and Weights & Biases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """Somebody who keeps curves."""

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves, by name."""

    def close(self) -> None:
        """Nothing further will come."""


@contextmanager
def tracked(
    folder: Path | None,
    *,
    tensorboard: bool = False,
    wandb: str | None = None,
    done: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[list[Tracker]]:
    """Those who are to keep the curves of a run, until the block ends.

    Args:
        folder: Of the run; where files of curves go.
        tensorboard: Write TensorBoard's event files.
        wandb: A project of Weights & Biases. The run there has a name of its own that follows from
            the folder, so that a run that goes on goes on there, too. ``WANDB_MODE=offline`` keeps
            it on this machine.
        done: Steps that a run has done that goes on; later ones on record are dropped.
        settings: What Weights & Biases shows as the configuration.

    Raises:
        ModuleNotFoundError: What is asked for is not installed.
        ValueError: There is no folder.
    """
    if folder is None and (tensorboard or wandb):
        raise ValueError("curves are kept of a run with a folder; name one, or leave them out")
    with ExitStack() as opened:
        found: list[Tracker] = []
        if folder is not None and tensorboard:
            found.append(_TensorBoard(folder, done))
        if folder is not None and wandb:
            found.append(_WeightsAndBiases(folder, wandb, settings or {}))
        for one in found:
            opened.callback(one.close)
        yield found


class _TensorBoard:
    def __init__(self, folder: Path, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ModuleNotFoundError(
                "TensorBoard is not installed; pip install 'tvtfast[tensorboard]', or leave it out "
                "(the same curves are in a CSV file of the run)"
            ) from error
        make: Any = SummaryWriter  # whose constructor has no types
        self._writer = make(folder, purge_step=done + 1)

    def add(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, folder: Path, project: str, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ModuleNotFoundError(
                "Weights & Biases is not installed; pip install 'tvtfast[wandb]', or leave it out "
                "(the same curves are in a CSV file of the run)"
            ) from error
        name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        self._run = wandb.init(
            project=project,
            name=folder.name,
            id=name,
            resume="allow",
            dir=str(folder),
            config=dict(settings),
        )

    def add(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()
