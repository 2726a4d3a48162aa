"""AutoFormer candidates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from tvtfast.initialization import Constant, Normal, ParameterInit
from tvtfast.models.blocks import Attention, Block, RelativePositionAttention, layer_norm
from tvtfast.models.candidate import PatchEmbed, drop_path_rates
from tvtfast.models.chain import ChainedModel, Link
from tvtfast.models.registry import register_model
from tvtfast.models.stages import PlainBackbone
from tvtfast.spaces.autoformer import (
    MAX_RELATIVE_POSITION,
    ORIGINAL_HEAD_DIM,
    AutoFormerArch,
    AutoFormerSpace,
)
from tvtfast.spaces.options import POOLS, ModelOptions


class AutoFormer(PlainBackbone, ChainedModel):
    """A subnet of the AutoFormer space, stand-alone.

    Patch embedding, learned absolute positions over all tokens, pre-norm blocks, final norm. By
    default both heads read the mean over all tokens but the class token, so a distillation token
    is inside it; with ``pool="token"`` each reads its own, and plain attention is DeiT.
    Source: TVT / ViT-Bench-101 (plain attention); Chen et al., ICCV 2021 (relative positions).
    """

    global_pools = POOLS

    def __init__(self, arch: AutoFormerArch, space: AutoFormerSpace, options: ModelOptions) -> None:
        dim = arch.hidden_dim
        super().__init__(options, dim)
        patch = options.patch_size
        self.arch, self.global_pool = arch, space.pool_of(options) or self.global_pool
        self.grid = options.patch_grid()
        tokens = self.grid[0] * self.grid[1] + options.num_prefix_tokens
        self.patch_embed = PatchEmbed(options.in_chans, dim, patch, stride=patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, dim))
        rates = drop_path_rates(options.drop_path_rate, arch.depth)
        self.blocks = nn.ModuleList(
            Block(_attention(space, dim, heads), dim, int(dim * ratio), rate, options.norm_eps)
            for heads, ratio, rate in zip(arch.num_heads, arch.mlp_ratio, rates, strict=True)
        )
        self.norm = layer_norm(dim, options.norm_eps)
        self.add_classifier(dim)

    @staticmethod
    def parameter_init(name: str, owner: nn.Module) -> ParameterInit | None:
        """Linear weights ``N(0, 0.02^2)``, linear biases and the distillation head 0; the patch
        convolution keeps the framework's default."""
        if isinstance(owner, nn.Linear):
            zero = name.endswith("bias") or name.startswith("head_dist.")
            groups = 3 if ".qkv." in name else 1
            return ParameterInit(Constant(0.0) if zero else Normal(0.02), groups)
        return None

    def links(self) -> Iterator[Link]:
        stem = ("patch_embed.", "cls_token", "dist_token", "pos_embed")
        yield Link(stem, self._embedded)
        for place, block in enumerate(self.blocks):
            yield Link((f"blocks.{place}.",), partial(block, grid=self.grid), self.grid)

    def _embedded(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images).flatten(2).transpose(1, 2)
        return torch.cat((self._prefix_tokens(x.shape[0]), x), dim=1) + self.pos_embed

    def pool(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        if self.global_pool == "token":
            return self.prefix_pool(self.norm, tokens)
        pooled = self.norm(tokens)[:, 1:].mean(dim=1)
        return pooled, pooled


register_model(AutoFormerArch, AutoFormer)


def _attention(space: AutoFormerSpace, dim: int, heads: int) -> Attention:
    if space.relative_position:
        return RelativePositionAttention(dim, heads, ORIGINAL_HEAD_DIM, MAX_RELATIVE_POSITION)
    return Attention(dim, heads)
