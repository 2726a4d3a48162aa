"""As-ViT candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.initialization import Constant, Normal, ParameterInit
from tvtfast.models.candidate import CandidateModel, drop_path_rates
from tvtfast.models.features import SpatialFeatures
from tvtfast.models.registry import register_model
from tvtfast.models.stages import chosen_stages, stage_features
from tvtfast.models.timm_parts import drop_path
from tvtfast.models.windows import Windows
from tvtfast.spaces.asvit import (
    STRIDE,
    AsViTArch,
    AsViTSpace,
    sampled_size,
    token_grids,
    window_size,
)
from tvtfast.spaces.options import ModelOptions

NORMS = ("layer", "identity")

_Grid = tuple[int, int]


class AsViT(CandidateModel):
    """A four-stage Vision Transformer of the As-ViT space.

    Overlapping convolutional embedding at stride 4; stages of pre-norm blocks that attend inside
    windows, halved in grid and doubled in width by merging layers; final norm, token mean, and a
    classifier of two layers with tanh between. No positions, no class token.

    Without positions the same weights serve images of any size, not only those of
    ``options.img_size``. Sizes that do not divide are padded, see ``token_grids`` and
    ``window_size`` of `tvtfast.spaces.asvit`. With ``distilled`` a second classifier reads the same
    vector.
    Source: Chen et al., "Auto-scaling Vision Transformers without Training", ICLR 2022.
    """

    num_maps = 4
    fixed_input_size = False
    checkpoints_blocks = True

    def __init__(self, arch: AsViTArch, space: AsViTSpace, options: ModelOptions) -> None:
        super().__init__(options, dim=None)
        self.arch, self.space, widths = arch, space, arch.widths
        self.dilation = 1
        self.patch_embed = OverlapPatchEmbed(options.in_chans, widths[0], arch.kernels[0])
        self.merges = nn.ModuleList(
            PatchMerging(*shape)
            for shape in zip(widths[:-1], widths[1:], arch.kernels[1:], strict=True)
        )
        rates = iter(drop_path_rates(options.drop_path_rate, sum(arch.depths)))
        self.stages = nn.ModuleList(
            nn.ModuleList(
                WindowBlock(dim, heads, split, dim * expansion, next(rates)) for _ in range(depth)
            )
            for dim, heads, split, expansion, depth in zip(
                widths, arch.stage_heads, arch.splits, arch.expansions, arch.depths, strict=True
            )
        )
        self.norm: nn.Module = SwitchableLayerNorm(widths[-1])
        self.pre_logits: nn.Module = nn.Sequential(nn.Linear(widths[-1], widths[-1]), nn.Tanh())
        self.add_classifier(widths[-1])

    @staticmethod
    def parameter_init(name: str, owner: nn.Module) -> ParameterInit | None:
        """Linear weights ``N(0, 0.02^2)``, linear biases and the distillation head 0; the patch
        convolution keeps the framework's default."""
        if isinstance(owner, nn.Linear):
            zero = name.endswith("bias") or name.startswith("head_dist.")
            groups = 3 if ".qkv." in name else 1
            return ParameterInit(Constant(0.0) if zero else Normal(0.02), groups)
        return None

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, stride and module of every stage, as timm describes them."""
        return [
            {"num_chs": dim, "reduction": STRIDE << stage, "module": f"stages.{stage}"}
            for stage, dim in zip(range(len(self.stages)), self.arch.widths, strict=False)
        ]

    def block_features(self, images: Tensor) -> Iterator[SpatialFeatures]:
        self._check_images(images)
        height, width = images.shape[-2:]
        grids = token_grids(sampled_size((height, width), self.dilation))
        x = self.patch_embed(images, self.dilation)
        for stage, (blocks, grid) in enumerate(zip(self.stages, grids, strict=False)):
            if stage:
                x = self.merges[stage - 1](x, grids[stage - 1])
            for block in blocks.children():
                x = self.run_block(block, x, grid)
                yield SpatialFeatures(x, grid)

    def intermediates(self, images: Tensor) -> Iterator[SpatialFeatures]:
        """The output of every stage, before it is merged."""
        return stage_features(self.block_features(images), self.stages)

    def pooled_features(self, images: Tensor) -> Tensor:
        """Mean over the tokens of the last block, before the final norm, ``[B, D]``: the feature
        whose complexity As-ViT measures."""
        return self.forward_features(images).mean(dim=1)

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.pre_logits(self.norm(tokens).mean(dim=1))
        return pooled, pooled

    def set_norm(self, norm: str) -> None:
        """Normalise (``"layer"``), or let every layer norm pass its input through (``"identity"``,
        as As-ViT measures length distortion). Weights stay as they are, those of the norms too.

        Raises:
            ValueError: Another name.
        """
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; allowed: {', '.join(NORMS)}")
        for module in self.modules():
            if isinstance(module, SwitchableLayerNorm):
                module.identity = norm == "identity"

    def set_dilation(self, dilation: int = 1) -> None:
        """Compute on coarser tokens with the same weights.

        The kernel of the patch embedding is dilated, so that it reads every ``dilation``-th pixel,
        and its stride grows alike: ``dilation ** 2`` times fewer tokens, hence fewer FLOPs, in
        every stage. Windows follow the grid. See `OverlapPatchEmbed`.

        Raises:
            ValueError: Less than 1.
        """
        if dilation < 1:
            raise ValueError(f"dilation is {dilation}; give 1 for full tokens, or more")
        self.dilation = dilation

    def flops(self, img_size: tuple[int, int], dilation: int = 1) -> int:
        """FLOPs of one image, as `tvtfast.spaces.Space.flops` counts them."""
        options = asdict(replace(self.options, img_size=img_size, patch_size=1))
        return self.space.flops(
            self.arch, **options | {"img_size": sampled_size(img_size, dilation)}
        )

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
        chosen = chosen_stages(indices, len(self.stages))
        last = max(chosen)
        self.stages, self.merges = self.stages[: last + 1], self.merges[:last]
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.pre_logits = nn.Identity()
            self.reset_classifier(0)
        return chosen

    def _check_images(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.options.in_chans:
            raise ValueError(
                f"AsViT was built for images [B, {self.options.in_chans}, H, W] of any size, got "
                f"{list(images.shape)}"
            )


register_model(AsViTArch, AsViT)


class OverlapPatchEmbed(nn.Module):
    """Convolution with stride 4 and a kernel of 4 to 8, then a norm: images to tokens.

    ``(images [B, C, H, W], dilation) -> [B, N, dim]``. The image is padded with zeros, ``(kernel -
    4) // 2`` pixels before and ``(kernel - 3) // 2`` after, and further after it up to a multiple
    of 4. With a dilation r > 1 the kernel reads every r-th pixel and the stride is 4 r. That is the
    convolution of every r-th pixel of the image, counted from ``(r - 1) // 2`` so that a token
    still looks at the middle of its patch.
    """

    def __init__(self, in_chans: int, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, dim, kernel_size, stride=STRIDE)
        self.norm = SwitchableLayerNorm(dim)

    def forward(self, images: Tensor, dilation: int = 1) -> Tensor:
        first = (dilation - 1) // 2
        sampled = images[..., first::dilation, first::dilation]
        extra = self.proj.kernel_size[0] - STRIDE
        patches = self.proj(_padded(sampled, extra, STRIDE))
        tokens: Tensor = self.norm(patches.flatten(2).transpose(1, 2))
        return tokens


class PatchMerging(nn.Module):
    """Overlapping neighbourhoods of ``kernel x kernel`` tokens at stride 2, normed and projected.

    ``(x [B, N, dim], grid) -> [B, N', out_dim]`` with the grid halved, rounded up. The grid is
    padded with zeros: ``(kernel - 2) // 2`` tokens before, ``(kernel - 1) // 2`` after, and one
    more after an odd side. Neighbourhoods are laid out as ``nn.Unfold`` does, channel by channel.
    """

    def __init__(self, dim: int, out_dim: int, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.norm = SwitchableLayerNorm(kernel_size**2 * dim)
        self.reduction = nn.Linear(kernel_size**2 * dim, out_dim, bias=False)

    def forward(self, x: Tensor, grid: _Grid) -> Tensor:
        planes = _padded(x.transpose(1, 2).unflatten(2, grid), self.kernel_size - 2, 2)
        neighbours = F.unfold(planes, self.kernel_size, stride=2).transpose(1, 2)
        merged: Tensor = self.reduction(self.norm(neighbours))
        return merged


class WindowBlock(nn.Module):
    """``x + attn(norm(x))``, then ``x + mlp(norm(x))``, with stochastic depth on both."""

    def __init__(
        self, dim: int, num_heads: int, split: int, mlp_dim: int, drop_path_rate: float
    ) -> None:
        super().__init__()
        self.norm1 = SwitchableLayerNorm(dim)
        self.attn = WindowAttention(dim, num_heads, split)
        self.norm2 = SwitchableLayerNorm(dim)
        self.mlp = MLP(dim, mlp_dim)
        self.drop_path = drop_path(drop_path_rate)

    def forward(self, x: Tensor, grid: _Grid) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), grid))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x


class WindowAttention(nn.Module):
    """Multi-head self-attention inside ``split x split`` windows, with a fused, biased projection.

    ``(x [B, N, dim], grid) -> [B, N, dim]``. Heads have ``dim // num_heads`` channels, so together
    they may be narrower than ``dim``; the softmax is scaled by ``head_dim ** -0.5``. Padding of
    windows that reach over the edge of the grid is not attended to.
    """

    def __init__(self, dim: int, num_heads: int, split: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.split = num_heads, dim // num_heads, split
        inner = num_heads * self.head_dim
        self.qkv = nn.Linear(dim, 3 * inner)
        self.proj = nn.Linear(inner, dim)

    def forward(self, x: Tensor, grid: _Grid) -> Tensor:
        windows = Windows(grid, window_size(grid, self.split))
        qkv = windows.cut(self.qkv(x)).unflatten(-1, (3, self.num_heads, self.head_dim))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mask = windows.attended(x.device)
        if mask is not None:
            mask = mask.repeat(x.shape[0], 1)[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        projected: Tensor = self.proj(windows.join(mixed.transpose(1, 2).flatten(2)))
        return projected


class MLP(nn.Module):
    """Two linear layers with exact GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class SwitchableLayerNorm(nn.LayerNorm):
    """Layer norm that passes its input through while ``identity`` is set."""

    identity = False

    def forward(self, input: Tensor) -> Tensor:
        return input if self.identity else super().forward(input)


def _padded(planes: Tensor, extra: int, multiple: int) -> Tensor:
    """``[B, C, H, W]`` with ``extra`` rows and columns of zeros around it, the odd one after, and
    after that up to a multiple (of the size without them)."""
    height, width = planes.shape[-2:]
    before, after = extra // 2, extra - extra // 2
    if not extra and height % multiple == width % multiple == 0:
        return planes
    return F.pad(planes, (before, after + -width % multiple, before, after + -height % multiple))
