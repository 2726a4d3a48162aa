"""The layers of Twins as steps: merging of patches, attention in windows or to fewer keys, and
positions by convolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from tvtfast.spaces.steps import FusedAttention, Matrix, TokenStep


@dataclass(frozen=True, eq=False)
class PatchMerging(TokenStep):
    """Convolution of patches without overlap, then a norm: images to tokens, or tokens to fewer.

    Args:
        name: Name of the layer, with its dot.
        dim: Channels before.
        out_dim: Width after.
        patch_size: Side and stride of the convolution.
        before: Height and width before.
        grid: Height and width of the token grid after.
    """

    name: str
    dim: int
    out_dim: int
    patch_size: int
    before: tuple[int, int]
    grid: tuple[int, int]

    prefix_tokens = 0

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (Matrix(f"{self.name}proj", self.out_dim, self.dim, kernel=self.patch_size),)

    @property
    def biases(self) -> int:
        return 3 * self.out_dim

    @cached_property
    def macs(self) -> int:
        return self.tokens * self.matrices[0].params

    @property
    def width(self) -> int:
        return self.out_dim


@dataclass(frozen=True, eq=False)
class LocalAttention(FusedAttention):
    """``x + attention(norm(x))`` within windows; the grid is padded with zeros to whole windows.

    Args:
        name: Name of the block, with its dot.
        dim: Embedding width.
        heads: Number of heads.
        head_dim: Channels of a head.
        grid: Height and width of the token grid.
        window: Side of a window.
    """

    name: str
    dim: int
    heads: int
    head_dim: int
    grid: tuple[int, int]
    window: int

    prefix_tokens = 0

    @property
    def biases(self) -> int:
        return 3 * self.dim + 3 * self.inner

    @property
    def padded(self) -> int:
        """Tokens of an image in whole windows."""
        return math.prod(-(-side // self.window) * self.window for side in self.grid)

    @cached_property
    def macs(self) -> int:
        qkv, projection = self.matrices
        products = 2 * self.padded * self.window**2 * self.inner
        return self.padded * qkv.params + products + self.tokens * projection.params


@dataclass(frozen=True, eq=False)
class SubsampledAttention(TokenStep):
    """``x + attention(norm(x))`` of all queries to keys on a coarser grid.

    Args:
        name: Name of the block, with its dot.
        dim: Embedding width.
        heads: Number of heads.
        head_dim: Channels of a head.
        grid: Height and width of the token grid.
        stride: Side and stride of the convolution that keys and values are made from; 1 for none.
    """

    name: str
    dim: int
    heads: int
    head_dim: int
    grid: tuple[int, int]
    stride: int

    prefix_tokens = 0

    @property
    def inner(self) -> int:
        """Width of q, of k and of v."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Keys of an image."""
        return math.prod(side // self.stride for side in self.grid)

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        name = f"{self.name}attn."
        reduction = (Matrix(f"{name}sr", self.dim, self.dim, kernel=self.stride),)
        return (
            Matrix(f"{name}q", self.inner, self.dim),
            Matrix(f"{name}kv", self.inner, self.dim, 2),
            Matrix(f"{name}proj", self.dim, self.inner),
            *(reduction if self.stride > 1 else ()),
        )

    @property
    def biases(self) -> int:
        return 3 * self.dim + 3 * self.inner + (3 * self.dim if self.stride > 1 else 0)

    @cached_property
    def macs(self) -> int:
        q, kv, projection, *reduction = self.matrices
        products = 2 * self.tokens * self.keys * self.inner
        on_keys = kv.params + sum(matrix.params for matrix in reduction)
        return self.tokens * (q.params + projection.params) + self.keys * on_keys + products


@dataclass(frozen=True, eq=False)
class PositionConvolution(TokenStep):
    """``x + convolution(x)``, depthwise 3x3: positions from what lies around a token.

    Args:
        name: Name of the layer, with its dot.
        dim: Embedding width.
        grid: Height and width of the token grid.
    """

    name: str
    dim: int
    grid: tuple[int, int]

    prefix_tokens = 0
    ends_block = True
    continues_block = True

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        return (Matrix(f"{self.name}proj.0", self.dim, 1, kernel=3),)

    @property
    def biases(self) -> int:
        return self.dim

    @cached_property
    def macs(self) -> int:
        return self.tokens * self.matrices[0].params
