"""Masks of stochastic depth that depend on the image and the step alone, not on how a step is
divided."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tvtfast.common.torchvision import ensure_torchvision
from tvtfast.training.processes import Team

_STREAM = 1
"""Beside the numbers of processes, which end other keys of (epoch, step)."""


class StochasticDepth:
    """Which images skip which residual branch, in place of what timm's ``DropPath`` draws.

    Layer ``l`` keeps image ``i`` of a step where ``u[i, l] < 1 - rate``, with ``u`` uniform in 0..1
    by (seed, epoch, step). ``i`` counts the images of all processes, so a step is the same in one
    process, in several, and in parts (`Recipe.accumulate`). timm draws a mask per call from the
    generator of the process.

    A layer that is called with another number of rows than images (windows as a batch) draws as
    timm does.

    Args:
        model: Its ``timm.layers.DropPath`` are steered.
        seed: Of the masks.
        team: The processes that share a step.
    """

    def __init__(self, model: nn.Module, seed: int, team: Team) -> None:
        self.layers = _layers(model)
        self.hooks = [self._hook(number) for number in range(len(self.layers))]
        self.seed, self.team = seed, team
        self.uniform = self.current = torch.empty(0)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Steer the layers inside the block, and leave the model as it was."""
        handles = [
            layer.register_forward_hook(hook)
            for layer, hook in zip(self.layers, self.hooks, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def begin(self, epoch: int, step: int, images: int) -> None:
        """Draw for a step of which this process has ``images`` images."""
        if not self.layers:
            return
        sequence = np.random.SeedSequence(self.seed, spawn_key=(epoch, step, _STREAM, 0))
        stream = np.random.RandomState(np.random.MT19937(sequence))
        everyone = (images * self.team.size, len(self.layers))
        drawn = stream.random_sample(everyone)[self.team.rank :: self.team.size]
        self.uniform = torch.from_numpy(drawn.T.astype(np.float32)).to(self.team.device)
        self.current = self.uniform

    def part(self, start: int, images: int) -> None:
        """Go on with some images of the step."""
        if self.layers:
            self.current = self.uniform[:, start : start + images]

    def _hook(self, number: int) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        def replaced(layer: Any, inputs: tuple[Tensor], drawn: Tensor) -> Tensor | None:
            (x,) = inputs
            if not layer.training or layer.drop_prob == 0 or len(x) != self.current.shape[1]:
                return None
            kept = 1 - layer.drop_prob
            mask = (self.current[number] < kept).to(x.dtype)
            if layer.scale_by_keep and kept > 0:
                mask = mask / kept
            return x * mask.view(-1, *(1,) * (x.ndim - 1))

        return replaced


def _layers(model: nn.Module) -> list[Any]:
    ensure_torchvision()
    from timm.layers import DropPath

    return [layer for layer in model.modules() if isinstance(layer, DropPath)]
