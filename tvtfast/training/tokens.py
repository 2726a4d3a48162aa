"""Progressive tokenization: train on coarse tokens first, on all of them in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import nn

_DEFAULT_PHASES = ((0.0, 2), (0.5, 1))


@runtime_checkable
class CoarseTokens(Protocol):
    """A model whose tokens can be made coarser without new weights, as `tvtfast.models.AsViT`."""

    def set_dilation(self, dilation: int = 1) -> None:
        """Read every ``dilation``-th pixel, in tokens that are as many times farther apart."""

    def flops(self, img_size: tuple[int, int], dilation: int = 1) -> int:
        """FLOPs of one image."""


@dataclass(frozen=True)
class ProgressiveTokens:
    """When a training sees how many tokens.

    In a phase of dilation r the patch embedding reads every r-th pixel with r times its stride:
    ``r ** 2`` times fewer tokens in grids large enough to shrink, from the same weights. By default
    half of the epochs read every second pixel.

    The learning rate is held after warm-up until all tokens are seen and falls in the last phase,
    in which the weights adapt to them, see `Recipe.build_schedule`. Evaluation always sees all
    tokens, as the finished student does, and so understates a coarse phase.
    Source: the idea is that of Chen et al., "Auto-scaling Vision Transformers without Training",
    ICLR 2022, whose schedule is not published; this one is ours.

    Args:
        phases: ``(start, dilation)`` in their order: the share of the epochs after which the phase
            begins, rounded to whole epochs. The first starts at 0, the last has dilation 1.

    Raises:
        ValueError: No such sequence.
    """

    phases: tuple[tuple[float, int], ...] = _DEFAULT_PHASES

    def __post_init__(self) -> None:
        phases = tuple((float(start), int(dilation)) for start, dilation in self.phases)
        object.__setattr__(self, "phases", phases)
        starts = [start for start, _ in phases]
        dilations = [dilation for _, dilation in phases]
        if not phases or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= 1:
            raise ValueError(
                f"phases {phases} start at {starts}; give ascending shares of the epochs in [0, 1),"
                " the first 0"
            )
        if min(dilations) < 1 or dilations[-1] != 1:
            raise ValueError(
                f"phases {phases} have dilations {dilations}; give 1 or more, and 1 in the last "
                "phase, since the student is used with all its tokens"
            )

    def lengths(self, epochs: int) -> tuple[int, ...]:
        """Epochs of every phase.

        Raises:
            ValueError: A phase without an epoch.
        """
        begins = [round(start * epochs) for start, _ in self.phases]
        lengths = tuple(
            end - begin for begin, end in zip(begins, [*begins[1:], epochs], strict=True)
        )
        if min(lengths) < 1:
            raise ValueError(
                f"epochs={epochs} leaves phases of {lengths} epochs; train longer or give fewer "
                "phases"
            )
        return lengths

    def dilation(self, epoch: int, epochs: int) -> int:
        """Dilation in an epoch, counted from 0."""
        begun = [dilation for start, dilation in self.phases if round(start * epochs) <= epoch]
        return begun[-1]

    @contextmanager
    def applied(self, model: nn.Module, epoch: int, epochs: int) -> Iterator[None]:
        """The model as it is trained in an epoch; all tokens again afterwards."""
        coarse = coarse_tokens(model)
        coarse.set_dilation(self.dilation(epoch, epochs))
        try:
            yield
        finally:
            coarse.set_dilation(1)

    def cost(self, model: nn.Module, img_size: tuple[int, int], epochs: int) -> TokenCost:
        """What a training costs in forward passes of the model."""
        coarse = coarse_tokens(model)
        return TokenCost(
            self.lengths(epochs),
            tuple(dilation for _, dilation in self.phases),
            tuple(coarse.flops(img_size, dilation) for _, dilation in self.phases),
            coarse.flops(img_size),
        )


@dataclass(frozen=True)
class TokenCost:
    """FLOPs of a training by phases, in closed form.

    Args:
        epochs: Of every phase.
        dilations: Of every phase.
        flops: Of one image in every phase, forward.
        full: Of one image with all tokens.
    """

    epochs: tuple[int, ...]
    dilations: tuple[int, ...]
    flops: tuple[int, ...]
    full: int

    @property
    def saved(self) -> float:
        """Share of the FLOPs of a training on all tokens that is saved. Forward and backward passes
        scale alike; evaluation and the teacher are not counted."""
        spent = sum(n * flops for n, flops in zip(self.epochs, self.flops, strict=True))
        return 1 - spent / (sum(self.epochs) * self.full)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the student's card."""
        names = ("epochs", "dilation", "flops")
        rows = zip(self.epochs, self.dilations, self.flops, strict=True)
        return {
            "token_phases": [dict(zip(names, row, strict=True)) for row in rows],
            "token_flops_saved": round(self.saved, 4),
        }

    def __str__(self) -> str:
        phases = ", ".join(
            f"{epochs} epochs at {flops / 1e6:.3g} MFLOPs per image (dilation {dilation})"
            for epochs, dilation, flops in zip(self.epochs, self.dilations, self.flops, strict=True)
        )
        return (
            f"progressive tokens: {phases}; {self.saved:.0%} of the student's training FLOPs saved "
            "(a multiply-add is two)"
        )


def coarse_tokens(model: nn.Module) -> CoarseTokens:
    """The model as one whose tokens can be made coarser.

    Raises:
        ValueError: They cannot.
    """
    if not isinstance(model, CoarseTokens):
        raise ValueError(
            f"{type(model).__name__} cannot be trained on progressive tokens: it has no "
            "set_dilation and flops. Candidates of the space 'asvit' have; train others with "
            "tokens=None"
        )
    return model
