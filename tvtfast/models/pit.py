"""PiT candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tvtfast.initialization import Constant, ParameterInit, Uniform
from tvtfast.models.blocks import Attention, Block, layer_norm
from tvtfast.models.candidate import CandidateModel, PatchEmbed
from tvtfast.models.features import SpatialFeatures
from tvtfast.models.registry import register_model
from tvtfast.models.stages import chosen_stages, stage_features
from tvtfast.spaces.options import POOLS, ModelOptions
from tvtfast.spaces.pit import PiTArch, PiTSpace, stage_grids


class PiT(CandidateModel):
    """Pooling-based Vision Transformer of three stages.

    Overlapping convolutional embedding, additive position map, and between stages a depthwise
    convolution for the patches and a linear layer for the prefix tokens. The classifier reads the
    class token and the distillation head the distillation token, after the final norm; with
    ``pool="avg"`` both read the mean over the patches.
    Source: Heo et al., ICCV 2021; the subnet of TVT / ViT-Bench-101.
    """

    num_maps = 3
    global_pools = POOLS
    checkpoints_blocks = True

    def __init__(self, arch: PiTArch, space: PiTSpace, options: ModelOptions) -> None:
        widths, patch = arch.widths, options.patch_size
        super().__init__(options, widths[0])
        self.arch, self.global_pool = arch, space.pool_of(options) or self.global_pool
        self.grids = stage_grids(options)
        self.patch_embed = PatchEmbed(options.in_chans, widths[0], patch, stride=patch // 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, widths[0], *self.grids[0]))
        total, before = sum(arch.depth), 0
        self.stages, self.pools = nn.ModuleList(), nn.ModuleList()
        for stage, (dim, depth, heads) in enumerate(
            zip(widths, arch.depth, arch.num_heads, strict=True)
        ):
            rates = [options.drop_path_rate * (before + block) / total for block in range(depth)]
            self.stages.append(
                nn.ModuleList(
                    Block(Attention(dim, heads), dim, dim * arch.mlp_ratio, rate, options.norm_eps)
                    for rate in rates
                )
            )
            before += depth
            if stage + 1 < len(widths):
                self.pools.append(Pooling(dim, widths[stage + 1]))
        self.norm: nn.Module = layer_norm(widths[-1], options.norm_eps)
        self.add_classifier(widths[-1])

    @staticmethod
    def parameter_init(name: str, owner: nn.Module) -> ParameterInit | None:
        """The framework's defaults throughout, and 0 for the distillation head."""
        if name.startswith("head_dist."):
            return ParameterInit(Constant(0.0))
        if ".qkv." in name:
            bound = owner.in_features**-0.5 if isinstance(owner, nn.Linear) else 0.0
            return ParameterInit(Uniform(bound), groups=3)
        return None

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, stride and module of every stage, as timm describes them."""
        stride = self.options.patch_size // 2
        return [
            {"num_chs": dim, "reduction": stride << stage, "module": f"stages.{stage}"}
            for stage, dim in zip(range(len(self.stages)), self.arch.widths, strict=False)
        ]

    def intermediates(self, images: Tensor) -> Iterator[SpatialFeatures]:
        """The output of every stage, before it is pooled."""
        return stage_features(self.block_features(images), self.stages)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 3, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what `forward_intermediates` does not need for these stages, as timm's models do.

        Returns:
            The stages, counted from 0.
        """
        chosen = chosen_stages(indices, len(self.stages))
        last = max(chosen)
        self.stages, self.pools = self.stages[: last + 1], self.pools[:last]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return chosen

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        patches = self.patch_embed(images) + self.pos_embed
        prefix = self._prefix_tokens(images.shape[0])
        for stage, (blocks, grid) in enumerate(zip(self.stages, self.grids, strict=False)):
            if stage:
                patches, prefix = self.pools[stage - 1](patches, prefix)
            x = torch.cat((prefix, patches.flatten(2).transpose(1, 2)), dim=1)
            for block in blocks.children():
                x = self.run_block(block, x, grid)
                yield SpatialFeatures(x, grid, self.num_prefix_tokens)
            prefix = x[:, : self.num_prefix_tokens]
            patches = x[:, self.num_prefix_tokens :].transpose(1, 2).unflatten(2, grid)

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        if self.global_pool == "token":
            return self.prefix_pool(self.norm, tokens)
        return self.patch_pool(self.norm, tokens)


register_model(PiTArch, PiT)


class Pooling(nn.Module):
    """Halve the grid and widen: depthwise 3x3 convolution for patches, linear for prefix tokens."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, stride=2, padding=1, groups=dim)
        self.fc = nn.Linear(dim, out_dim)

    def forward(self, patches: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(patches), self.fc(prefix)
