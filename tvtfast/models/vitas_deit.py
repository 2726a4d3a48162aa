"""Candidates of the ViTAS spaces over DeiT."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from tvtfast.initialization import ParameterInit
from tvtfast.models.autoformer import AutoFormer
from tvtfast.models.blocks import Attention, Block, layer_norm
from tvtfast.models.candidate import PatchEmbed, drop_path_rates
from tvtfast.models.chain import ChainedModel, Link
from tvtfast.models.registry import register_model
from tvtfast.models.stages import PlainBackbone
from tvtfast.spaces.options import POOLS, ModelOptions
from tvtfast.spaces.vitas_deit import VitasDeitArch, VitasDeitSpace

RELEASED_NORM_EPS = 1e-5
"""Of the final norm in the released code."""


class VitasDeit(PlainBackbone, ChainedModel):
    """A subnet of a ViTAS space over DeiT, stand-alone.

    Patch embedding, learned absolute positions over all tokens, pre-norm blocks whose q, k and v
    are ``qkv_dim / 3`` wide, final norm; the classifier reads the class token and the distillation
    head the distillation token, or both the mean over the patches (``pool="avg"``). The softmax is
    scaled by the true width of a head, ``(qkv_dim / 3 / heads) ** -0.5``, or as the released code
    does (``softmax_scale``).
    Source: Su et al., ECCV 2022.
    """

    global_pools = POOLS

    def __init__(self, arch: VitasDeitArch, space: VitasDeitSpace, options: ModelOptions) -> None:
        dim = arch.embed_dim
        super().__init__(options, dim)
        patch = space.patch_pixels(arch.patch_size, options)
        self.arch, self.global_pool = arch, space.pool_of(options) or self.global_pool
        self.grid = (options.img_size[0] // patch, options.img_size[1] // patch)
        tokens = self.grid[0] * self.grid[1] + options.num_prefix_tokens
        self.patch_embed = PatchEmbed(options.in_chans, dim, patch, stride=patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, dim))
        rates = drop_path_rates(options.drop_path_rate, arch.depth)
        blocks = zip(arch.num_heads, arch.qkv_dim, arch.mlp_dim, rates, strict=True)
        self.blocks = nn.ModuleList(
            Block(
                Attention(dim, heads, qkv // 3 // heads, _scale(options, space, dim, heads)),
                dim,
                mlp,
                rate,
                options.norm_eps,
            )
            for heads, qkv, mlp, rate in blocks
        )
        released = options.softmax_scale is not None and options.norm_eps is None
        self.norm = layer_norm(dim, RELEASED_NORM_EPS if released else options.norm_eps)
        self.add_classifier(dim)

    @staticmethod
    def parameter_init(name: str, owner: nn.Module) -> ParameterInit | None:
        """As in `AutoFormer.parameter_init`."""
        return AutoFormer.parameter_init(name, owner)

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
        return self.patch_pool(self.norm, tokens)


def _scale(options: ModelOptions, space: VitasDeitSpace, dim: int, heads: int) -> float | None:
    """The scale of the released code, where that is asked for."""
    if options.softmax_scale is None:
        return None
    width = dim // heads if options.softmax_scale == "released" else space.embed_dims[-1] // 3
    return float(width**-0.5)


register_model(VitasDeitArch, VitasDeit)
