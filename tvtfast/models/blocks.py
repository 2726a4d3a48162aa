"""The pre-norm transformer block that the candidates are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast._torchvision import ensure_torchvision

ensure_torchvision()

from timm.layers import DropPath, Mlp  # noqa: E402  (torchvision must be importable first)

LAYER_NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with a fused, biased qkv projection.

    ``[B, T, dim] -> [B, T, dim]``; heads have ``head_dim`` channels (default ``dim / num_heads``)
    and the softmax is scaled by ``head_dim ** -0.5``.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int | None = None) -> None:
        super().__init__()
        if head_dim is None and dim % num_heads:
            raise ValueError(f"width {dim} does not split into {num_heads} heads")
        self.num_heads = num_heads
        self.head_dim = head_dim or dim // num_heads
        inner = self.num_heads * self.head_dim
        self.qkv = nn.Linear(dim, 3 * inner)
        self.proj = nn.Linear(inner, dim)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        heads: tuple[Tensor, ...] = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return heads

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        q, k, v = self._heads(x)
        mixed = F.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class RelativePositionAttention(Attention):
    """Attention of AutoFormer: learned two-dimensional relative positions on keys and values.

    With ``r(i, j) = V[dy(i, j)] + H[dx(i, j)]``, distances clipped to ``max_distance`` and entry 0
    kept for pairs that involve a prefix token,

        logits_ij = (q_i . k_j + q_i . r_k(i, j)) * scale
        out_i     = sum_j softmax(logits)_ij (v_j + r_v(i, j))

    The products with ``r`` are formed per distance and gathered per pair.
    Source: Chen et al., "AutoFormer", ICCV 2021; Wu et al., "iRPE", ICCV 2021.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int, max_distance: int) -> None:
        super().__init__(dim, num_heads, head_dim)
        self.max_distance = max_distance
        shape = (2 * max_distance + 2, head_dim)
        self.key_rows = nn.Parameter(torch.zeros(shape))
        self.key_columns = nn.Parameter(torch.zeros(shape))
        self.value_rows = nn.Parameter(torch.zeros(shape))
        self.value_columns = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        q, k, v = self._heads(x)
        rows, columns = relative_distances(grid, x.shape[1], self.max_distance, x.device)
        shape = (*q.shape[:-1], x.shape[1])
        rows, columns = rows.expand(shape), columns.expand(shape)
        bias = (q @ self.key_rows.T).gather(-1, rows) + (q @ self.key_columns.T).gather(-1, columns)
        scale = self.head_dim**-0.5
        attention = ((q @ k.transpose(-2, -1) + bias) * scale).softmax(dim=-1)
        mixed = attention @ v
        buckets = attention.new_zeros((*attention.shape[:-1], 2 * self.max_distance + 2))
        mixed = mixed + buckets.scatter_add(-1, rows, attention) @ self.value_rows
        mixed = mixed + buckets.scatter_add(-1, columns, attention) @ self.value_columns
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


def relative_distances(
    grid: tuple[int, int], tokens: int, max_distance: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Row and column distance index of every pair of tokens, ``[T, T]`` int64 each.

    Entry 0 stands for pairs with a prefix token; distance ``d`` is ``d + max_distance + 1``.
    """
    height, width = grid
    prefix = tokens - height * width
    position = torch.arange(height * width, device=device)

    def table(coordinate: Tensor) -> Tensor:
        distance = coordinate[None, :] - coordinate[:, None]
        index = distance.clamp(-max_distance, max_distance) + max_distance + 1
        return F.pad(index, (prefix, 0, prefix, 0))

    return table(position // width), table(position % width)


class Block(nn.Module):
    """``x + attn(norm(x))``, then ``x + mlp(norm(x))``; exact GELU, stochastic depth on both."""

    def __init__(self, attention: Attention, dim: int, mlp_dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attn = attention
        self.drop_path1 = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(dim, mlp_dim)
        self.drop_path2 = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = x + self.drop_path1(self.attn(self.norm1(x), grid))
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return x
