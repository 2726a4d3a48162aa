"""Candidates of the ViTAS space over Twins-SVT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.initialization import Constant, Normal, ParameterInit
from tvtfast.models.blocks import Block, layer_norm
from tvtfast.models.candidate import drop_path_rates
from tvtfast.models.chain import ChainedModel, Link
from tvtfast.models.features import SpatialFeatures
from tvtfast.models.registry import register_model
from tvtfast.models.stages import chosen_stages, stage_features
from tvtfast.spaces.options import ModelOptions
from tvtfast.spaces.vitas_twins import (
    VitasTwinsArch,
    VitasTwinsSpace,
    first_patch,
    stage_grids,
    subsampling,
    window,
)

MERGING_NORM_EPS = 1e-5
"""Of the norms after convolutions, as in timm."""


class VitasTwins(ChainedModel):
    """A subnet of a ViTAS space over Twins-SVT, stand-alone.

    Four stages: merging of patches and a norm, then blocks with local or global attention; after
    the first block of a stage a depthwise convolution adds positions. Both heads read the mean over
    the normed tokens of the last stage. Parameters have the names of ``timm.models.Twins``.

    Positions are convolutions, so the same weights serve images of any size. Windows and the
    strides of keys stay those of ``options.img_size``. Images of another size, and grids on the
    way, are padded with zeros at the bottom and on the right where patches would leave something
    out: a map has ``ceil(side / stride)`` rows or columns.
    Source: Chu et al., "Twins", NeurIPS 2021; Su et al., "ViTAS", ECCV 2022.
    """

    num_maps = 4
    first_conv = "patch_embeds.0.proj"
    fixed_input_size = False

    def __init__(self, arch: VitasTwinsArch, space: VitasTwinsSpace, options: ModelOptions) -> None:
        super().__init__(options, None)
        self.arch, self.grids = arch, stage_grids(options)
        rates = iter(drop_path_rates(options.drop_path_rate, sum(arch.depth)))
        self.patch_embeds, self.blocks, self.pos_block = (nn.ModuleList() for _ in range(3))
        width = options.in_chans
        for stage, (dim, blocks, grid) in enumerate(
            zip(arch.embed_dim, arch.stages, self.grids, strict=True)
        ):
            side = first_patch(options) if stage == 0 else 2
            self.patch_embeds.append(PatchMerging(width, dim, side))
            self.blocks.append(
                nn.ModuleList(
                    Block(
                        WindowAttention(dim, heads, qkv // 3 // heads, window(grid))
                        if kind == "local"
                        else SubsampledAttention(
                            dim, heads, qkv // 3 // heads, subsampling(stage, grid)
                        ),
                        dim,
                        mlp,
                        next(rates),
                        options.norm_eps,
                    )
                    for kind, heads, qkv, mlp in blocks
                )
            )
            self.pos_block.append(PositionConvolution(dim))
            width = dim
        self.norm: nn.Module = layer_norm(width, options.norm_eps)
        self.add_classifier(width)

    @staticmethod
    def parameter_init(name: str, owner: nn.Module) -> ParameterInit | None:
        """Linear weights ``N(0, 0.02^2)``, linear biases and the distillation head 0; convolutions
        keep the framework's default."""
        if isinstance(owner, nn.Linear):
            zero = name.endswith("bias") or name.startswith("head_dist.")
            groups = 3 if ".qkv." in name else 2 if ".kv." in name else 1
            return ParameterInit(Constant(0.0) if zero else Normal(0.02), groups)
        return None

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, stride and module of every stage, as timm describes them."""
        stride = first_patch(self.options)
        return [
            {"num_chs": dim, "reduction": stride << stage, "module": f"blocks.{stage}"}
            for stage, dim in zip(range(len(self.blocks)), self.arch.embed_dim, strict=False)
        ]

    def intermediates(self, images: Tensor) -> Iterator[SpatialFeatures]:
        """The output of every stage."""
        return stage_features(self.block_features(images), self.blocks)

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 4,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop what `forward_intermediates` does not need for these stages, as timm's models do.

        Returns:
            The stages, counted from 0.
        """
        chosen = chosen_stages(indices, len(self.blocks))
        kept = max(chosen) + 1
        self.patch_embeds, self.blocks = self.patch_embeds[:kept], self.blocks[:kept]
        self.pos_block = self.pos_block[:kept]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return chosen

    def links(self) -> Iterator[Link]:
        return self._links(self.grids)

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        height, width = images.shape[-2:]
        return self.run_links(self._links(self._grids_of((height, width))), images)

    def _links(self, grids: Sequence[tuple[int, int]]) -> Iterator[Link]:
        for stage, (blocks, grid) in enumerate(zip(self.blocks, grids, strict=False)):
            before = grids[stage - 1] if stage else None
            merged = partial(self._merged, stage, before, grid)
            yield Link((f"patch_embeds.{stage}.",), merged)
            for place in range(len(list(blocks.children()))):
                names = [f"blocks.{stage}.{place}."]
                if place == 0:
                    names.append(f"pos_block.{stage}.")
                yield Link(tuple(names), partial(self._attended, stage, place, grid), grid)

    def _grids_of(self, size: tuple[int, int]) -> Sequence[tuple[int, int]]:
        """Token grids of the stages for images of some size."""
        if size == self.options.img_size:
            return self.grids
        height, width = (-(-side // first_patch(self.options)) for side in size)
        return [(-(-height >> stage), -(-width >> stage)) for stage in range(len(self.grids))]

    def _merged(
        self, stage: int, before: tuple[int, int] | None, grid: tuple[int, int], x: Tensor
    ) -> Tensor:
        if before is not None:
            x = x.transpose(1, 2).unflatten(2, before)
        side = first_patch(self.options) if stage == 0 else 2
        merged: Tensor = self.patch_embeds[stage](padded(x, [side * length for length in grid]))
        return merged

    def _check_images(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.options.in_chans:
            raise ValueError(
                f"VitasTwins was built for images [B, {self.options.in_chans}, H, W] of any size, "
                f"got {list(images.shape)}"
            )

    def _attended(self, stage: int, place: int, grid: tuple[int, int], x: Tensor) -> Tensor:
        blocks: Any = self.blocks[stage]
        attended: Tensor = blocks[place](x, grid)
        return self.pos_block[stage](attended, grid) if place == 0 else attended

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.norm(tokens).mean(dim=1)
        return pooled, pooled


register_model(VitasTwinsArch, VitasTwins)


class PatchMerging(nn.Module):
    """A convolution of patches without overlap and a norm, ``[B, C, H, W] -> [B, N, dim]``."""

    def __init__(self, in_chans: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, dim, patch_size, patch_size)
        self.norm = nn.LayerNorm(dim, eps=MERGING_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        merged: Tensor = self.norm(self.proj(x).flatten(2).transpose(1, 2))
        return merged


class PositionConvolution(nn.Module):
    """``x`` plus a depthwise 3x3 convolution of it, ``[B, N, dim]``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, groups=dim))

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        positions: Tensor = self.proj(x.transpose(1, 2).unflatten(2, grid))
        return x + positions.flatten(2).transpose(1, 2)


class WindowAttention(nn.Module):
    """Self-attention within windows of the grid, ``[B, N, dim] -> [B, N, dim]``.

    The grid is padded with zeros to whole windows; the padding takes part, as in timm.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int, window: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim, self.window = num_heads, head_dim, window
        self.qkv = nn.Linear(dim, 3 * inner)
        self.proj = nn.Linear(inner, dim)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        qkv = self.qkv(windows(x, grid, self.window))
        qkv = qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0)).transpose(1, 2).flatten(2)
        projected: Tensor = self.proj(unwindowed(mixed, grid, self.window))
        return projected


class SubsampledAttention(nn.Module):
    """Attention of all tokens to keys on a grid that a strided convolution makes coarser,
    ``[B, N, dim] -> [B, N, dim]``."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, stride: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads, self.head_dim, self.stride = num_heads, head_dim, stride
        self.q = nn.Linear(dim, inner)
        self.kv = nn.Linear(dim, 2 * inner)
        self.proj = nn.Linear(inner, dim)
        self.sr: nn.Module | None = None
        if stride > 1:
            self.sr = nn.Conv2d(dim, dim, stride, stride)
            self.norm = nn.LayerNorm(dim, eps=MERGING_NORM_EPS)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        q = self.q(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        if self.sr is not None:
            planes = x.transpose(1, 2).unflatten(2, grid)
            coarse = self.sr(padded(planes, [self.stride, self.stride]))
            x = self.norm(coarse.flatten(2).transpose(1, 2))
        kv = self.kv(x).unflatten(-1, (2, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, *kv.unbind(0))
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


def padded(planes: Tensor, least: Sequence[int]) -> Tensor:
    """``[B, C, H, W]`` with zeros at the bottom and on the right up to a height and width."""
    height, width = planes.shape[-2:]
    below, right = max(0, least[0] - height), max(0, least[1] - width)
    return F.pad(planes, (0, right, 0, below)) if below or right else planes


def windows(x: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """Tokens ``[B, h*w, C]`` by window, ``[B * windows, side^2, C]``, padded with zeros."""
    down, right = (-length % side for length in grid)
    planes = F.pad(x.unflatten(1, grid), (0, 0, 0, right, 0, down))
    cut = planes.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    return cut.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def unwindowed(x: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """The inverse of `windows`, without the padding."""
    down, right = (-(-length // side) for length in grid)
    planes = x.unflatten(1, (side, side)).unflatten(0, (-1, down, right)).transpose(2, 3)
    whole = planes.flatten(3, 4).flatten(1, 2)
    return whole[:, : grid[0], : grid[1]].flatten(1, 2)
