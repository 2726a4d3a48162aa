"""The pre-norm transformer block that the candidates are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.models.relative_positions import relative_channels, relative_position_attention
from tvtfast.models.timm_parts import drop_path, mlp

LAYER_NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with a fused, biased qkv projection.

    ``[B, T, dim] -> [B, T, dim]``; heads have ``head_dim`` channels (default ``dim / num_heads``)
    and the softmax is scaled by ``scale`` (default ``head_dim ** -0.5``).
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        head_dim: int | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        if head_dim is None and dim % num_heads:
            raise ValueError(f"width {dim} does not split into {num_heads} heads")
        self.num_heads = num_heads
        self.head_dim = head_dim or dim // num_heads
        self.scale = float(self.head_dim**-0.5) if scale is None else scale
        self._other_scale = scale
        inner = self.num_heads * self.head_dim
        self.qkv = nn.Linear(dim, 3 * inner)
        self.proj = nn.Linear(inner, dim)

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        heads: tuple[Tensor, ...] = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return heads

    def queries_and_keys(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Vectors ``[B, H, T, *]`` whose products, times ``scale``, are the logits."""
        q, k, _ = self._heads(x)
        return q, k

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        q, k, v = self._heads(x)
        mixed = F.scaled_dot_product_attention(q, k, v, scale=self._other_scale)
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

    def queries_and_keys(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Vectors ``[B, H, T, *]`` whose products, times ``scale``, are the logits.

        What query i gives to the row and the column of a key, ``q_i . V[dy]`` and ``q_i . H[dx]``,
        becomes a channel of the query, and the key has a 1 in the channels of its own, see
        `tvtfast.models.relative_positions.relative_channels`.
        """
        q, k, _ = self._heads(x)
        queries, keys = [q], [k]
        channels = relative_channels(grid, x.shape[1], self.max_distance, x.device)
        for vectors, (distance, own) in zip(
            (self.key_rows, self.key_columns), channels, strict=True
        ):
            shape = (*q.shape[:-1], distance.shape[1])
            queries.append((q @ vectors.T).gather(-1, distance.expand(shape)))
            keys.append(own.to(k.dtype).expand(shape))
        return torch.cat(queries, dim=-1), torch.cat(keys, dim=-1)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        q, k, v = self._heads(x)
        tables = (self.key_rows, self.key_columns, self.value_rows, self.value_columns)
        mixed = relative_position_attention(q, k, v, tables, grid)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


def layer_norm(dim: int, eps: float | None) -> nn.LayerNorm:
    """A norm that adds ``eps`` to the variance, by default `LAYER_NORM_EPS`."""
    return nn.LayerNorm(dim, eps=LAYER_NORM_EPS if eps is None else eps)


class Block(nn.Module):
    """``x + attn(norm(x))``, then ``x + mlp(norm(x))``; exact GELU, stochastic depth on both."""

    def __init__(
        self,
        attention: nn.Module,
        dim: int,
        mlp_dim: int,
        drop_path_rate: float,
        norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, norm_eps)
        self.attn = attention
        self.drop_path1 = drop_path(drop_path_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp = mlp(dim, mlp_dim)
        self.drop_path2 = drop_path(drop_path_rate)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        x = x + self.drop_path1(self.attn(self.norm1(x), grid))
        x = x + self.drop_path2(self.mlp(self.norm2(x)))
        return x
