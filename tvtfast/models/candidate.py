"""What all candidate models share: block features, timm's feature interface, two heads."""

from __future__ import annotations

import collections
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tvtfast.models.features import SpatialFeatures
from tvtfast.models.stages import chosen_stages
from tvtfast.models.timm_interface import TimmInterface
from tvtfast.spaces.options import ModelOptions


class CandidateModel(TimmInterface, ABC):
    """A Vision Transformer student.

    ``forward`` maps images ``[B, C, H, W]`` to logits ``[B, num_classes]``. With a distillation
    token it returns the mean of both heads, or the pair ``(logits, distillation_logits)`` while
    training after ``set_distilled_training()``, as timm's distilled models do. Parameters have
    timm's names too: ``patch_embed.proj``, ``cls_token``, ``dist_token``, ``pos_embed``, ``head``.
    It is a whole model of timm, see `tvtfast.models.timm_interface.TimmInterface`.

    Args:
        options: What surrounds the architecture.
        dim: Width of the class and distillation tokens; ``None`` for a model of patches alone.
    """

    num_maps: ClassVar[int] = 1
    """How many of the last `intermediates` are the features of a backbone: the stages, or the last
    block alone."""

    def __init__(self, options: ModelOptions, dim: int | None) -> None:
        super().__init__(options)
        self.num_prefix_tokens = 0 if dim is None else options.num_prefix_tokens
        if dim is None:
            return
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if options.distilled:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, dim))

    @abstractmethod
    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        """Yield the output tokens of every block, first to last, before the final norm."""

    @abstractmethod
    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normed inputs ``[B, D]`` of the classifier and of the distillation head."""

    def prefix_pool(self, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The normed class token, and the normed distillation token (the class token without
        one)."""
        prefix = norm(tokens[:, : self.num_prefix_tokens])
        return prefix[:, 0], prefix[:, -1]

    def patch_pool(self, norm: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The mean over the normed patches, for both heads."""
        pooled = norm(tokens[:, self.num_prefix_tokens :]).mean(dim=1)
        return pooled, pooled

    def intermediates(self, images: Tensor) -> Iterator[SpatialFeatures]:
        """What `forward_intermediates` chooses from: the output of every block."""
        return self.block_features(images)

    def forward_features(self, images: Tensor) -> Tensor:
        """Output tokens ``[B, P+N, D]`` of the last block, before the final norm."""
        return collections.deque(self.block_features(images), maxlen=1)[0].x

    def forward_head(
        self, tokens: Tensor, pre_logits: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits from the output of `forward_features`.

        Args:
            tokens: ``[B, P+N, D]``.
            pre_logits: Give what the classifier reads, ``[B, head_hidden_size]``, in place of what
                it says: of a distilled model the mean of what both heads read.
        """
        if self.global_pool:
            pooled, distilled = self.pool(tokens)
        else:
            pooled = distilled = self.get_submodule("norm")(tokens)
        if pre_logits:
            return (pooled + distilled) / 2 if self.options.distilled else pooled
        logits: Tensor = self.head(pooled)
        if not self.options.distilled:
            return logits
        distillation_logits: Tensor = self.head_dist(distilled)
        if self.training and self.distilled_training:
            return logits, distillation_logits
        return (logits + distillation_logits) / 2

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.forward_head(self.forward_features(images))

    def forward_intermediates(
        self,
        images: Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """timm's feature interface over the `intermediates`: the blocks, or the stages of a model
        whose grid shrinks between them.

        Args:
            images: ``[B, C, H, W]``.
            indices: The last ``n``, those of a sequence (negative ones count from the end), or all.
            norm: Unsupported when true: widths differ between stages, so there is no common norm.
            stop_early: Compute nothing after the last of them, with ``indices`` that count from 0.
            output_fmt: ``"NCHW"`` for maps ``[B, D, h, w]``, or ``"NLC"`` for patch tokens
                ``[B, N, D]``.
            intermediates_only: Leave out the output tokens of the last block that was computed.
        """
        if norm:
            raise ValueError("norm=True is not supported; features are those before the final norm")
        if output_fmt not in ("NCHW", "NLC"):
            raise ValueError(f"output_fmt is {output_fmt!r}; allowed: NCHW, NLC")
        found = self.intermediates(images)
        if stop_early and isinstance(indices, Sequence) and min(indices) >= 0:
            found = itertools.islice(found, max(indices) + 1)
        features = list(found)
        wanted = len(features) if indices is None else indices
        chosen = [features[index] for index in chosen_stages(wanted, len(features))]
        outputs = [_patches(f) if output_fmt == "NLC" else _map(f) for f in chosen]
        return outputs if intermediates_only else (features[-1].x, outputs)

    def _prefix_tokens(self, batch_size: int) -> Tensor:
        tokens: Tensor = self.cls_token
        if self.options.distilled:
            tokens = torch.cat((tokens, self.dist_token), dim=1)
        return tokens.expand(batch_size, -1, -1)

    def _check_images(self, images: Tensor) -> None:
        wanted = (self.options.in_chans, *self.options.img_size)
        if images.ndim != 4 or tuple(images.shape[1:]) != wanted:
            raise ValueError(
                f"{type(self).__name__} was built for images [B, {wanted[0]}, {wanted[1]}, "
                f"{wanted[2]}], got {list(images.shape)}; build it with img_size=(height, width) "
                "or resize the images"
            )


def drop_path_rates(final: float, depth: int) -> list[float]:
    """Stochastic depth rates rising linearly from 0 to ``final`` over the blocks."""
    return [final * block / max(depth - 1, 1) for block in range(depth)]


class PatchEmbed(nn.Module):
    """Convolution that turns patches into tokens, ``[B, C, H, W] -> [B, dim, h, w]``."""

    def __init__(self, in_chans: int, dim: int, patch_size: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, dim, patch_size, stride)

    def forward(self, images: Tensor) -> Tensor:
        patches: Tensor = self.proj(images)
        return patches


def _patches(features: SpatialFeatures) -> Tensor:
    return features.x[:, features.prefix_tokens :]


def _map(features: SpatialFeatures) -> Tensor:
    return _patches(features).transpose(1, 2).unflatten(2, features.size)
