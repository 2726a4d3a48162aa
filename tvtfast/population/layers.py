"""What each kind of step computes, for many candidates at once.

Activations are ``[N, T, dim]``: images of all candidates of a batch, tokens, channels. What several
steps of one parent share (the norm and the first projection) is computed once, at the largest width
asked for: a narrower step reads a slice of it, since weights are shared by index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tvtfast import kernels
from tvtfast.models.blocks import LAYER_NORM_EPS, relative_position_attention
from tvtfast.models.vitas_twins import MERGING_NORM_EPS, unwindowed, windows
from tvtfast.population.bank import WeightBank
from tvtfast.spaces.steps import (
    MLP,
    Embedding,
    LocalAttention,
    Matrix,
    PatchMerging,
    Pooling,
    PositionConvolution,
    SelfAttention,
    Step,
    SubsampledAttention,
)

_RELATIVE_TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")


def outputs(
    bank: WeightBank, x: Tensor, steps: Sequence[Any]
) -> Iterator[tuple[Tensor | None, Tensor]]:
    """What alternative steps make of one input.

    Args:
        bank: The weights.
        x: ``[N, T, dim]``, or images ``[B, C, H, W]`` for embeddings.
        steps: Steps of one kind that read the same weights.

    Yields:
        Per step the tensor it starts from (``None`` where nothing is carried over), and what it
        adds to that.
    """
    yield from _LAYERS[type(steps[0])](bank, x, steps)


def _embedding(
    bank: WeightBank, images: Tensor, steps: Sequence[Embedding]
) -> Iterator[tuple[None, Tensor]]:
    for step in steps:
        (matrix,) = step.matrices
        weight = bank.weight(matrix)
        patches = F.conv2d(images.to(weight.dtype), weight, bank.bias(matrix), step.stride)
        names = ("cls_token", "dist_token")[: step.prefix_tokens]
        prefix = torch.cat([bank.table(name, (1, 1, step.dim)) for name in names], dim=1)
        prefix = prefix.expand(len(images), -1, -1)
        if step.positions == patches.shape[-2] * patches.shape[-1]:
            patches = patches + bank.table("pos_embed", (1, step.dim, *step.grid))
            yield None, torch.cat((prefix, _tokens(patches)), dim=1)
        else:
            positions = bank.table("pos_embed", (1, step.positions, step.dim))
            yield None, torch.cat((prefix, _tokens(patches)), dim=1) + positions


def _self_attention(
    bank: WeightBank, x: Tensor, steps: Sequence[SelfAttention]
) -> Iterator[tuple[Tensor, Tensor]]:
    widest = max(steps, key=lambda step: step.inner)
    qkv = _linear(bank, x, widest.matrices[0], norm=True).unflatten(-1, (3, widest.inner))
    for step in steps:
        yield x, _linear(bank, _attention(bank, qkv, step), step.matrices[1])


def _attention(bank: WeightBank, qkv: Tensor, step: SelfAttention) -> Tensor:
    """Of ``[N, T, 3, width]``, the first heads of it: ``[N, T, heads * head_dim]``."""
    parts = qkv[..., : step.inner]
    if not step.relative_positions:
        return kernels.packed_attention(parts.flatten(2), step.heads)
    q, k, v = parts.unflatten(-1, (step.heads, step.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)
    shape = (step.relative_positions, step.head_dim)
    tables = [bank.table(f"{step.name}attn.{name}", shape) for name in _RELATIVE_TABLES]
    mixed = relative_position_attention(q, k, v, tables, step.grid)
    return mixed.transpose(1, 2).flatten(2)


def _mlp(bank: WeightBank, x: Tensor, steps: Sequence[MLP]) -> Iterator[tuple[Tensor, Tensor]]:
    widest = max(steps, key=lambda step: step.hidden)
    hidden = F.gelu(_linear(bank, x, widest.matrices[0], norm=True))
    for step in steps:
        yield x, _linear(bank, hidden[..., : step.hidden], step.matrices[1])


def _pooling(
    bank: WeightBank, x: Tensor, steps: Sequence[Pooling]
) -> Iterator[tuple[None, Tensor]]:
    for step in steps:
        convolution, linear = step.matrices
        prefix, patches = x[:, : step.prefix_tokens], x[:, step.prefix_tokens :]
        patches = patches.transpose(1, 2).unflatten(2, step.before)
        weight = bank.weight(convolution)
        pooled = F.conv2d(
            patches.to(weight.dtype), weight, bank.bias(convolution), 2, 1, groups=step.dim
        )
        yield None, torch.cat((_linear(bank, prefix, linear), _tokens(pooled)), dim=1)


def _patch_merging(
    bank: WeightBank, x: Tensor, steps: Sequence[PatchMerging]
) -> Iterator[tuple[None, Tensor]]:
    for step in steps:
        planes = x if x.ndim == 4 else x.transpose(1, 2).unflatten(2, step.before)
        yield None, _merged(bank, planes, step.matrices[0])


def _merged(bank: WeightBank, planes: Tensor, matrix: Matrix) -> Tensor:
    """A convolution without overlap, and a norm."""
    weight = bank.weight(matrix)
    merged = F.conv2d(planes.to(weight.dtype), weight, bank.bias(matrix), matrix.kernel)
    return _normed(bank, _tokens(merged), MERGING_NORM_EPS)


def _local_attention(
    bank: WeightBank, x: Tensor, steps: Sequence[LocalAttention]
) -> Iterator[tuple[Tensor, Tensor]]:
    widest = max(steps, key=lambda step: step.inner)
    grid, window = widest.grid, widest.window
    cut = windows(_normed(bank, x, LAYER_NORM_EPS), grid, window)
    qkv = _linear(bank, cut, widest.matrices[0]).unflatten(-1, (3, widest.inner))
    for step in steps:
        mixed = kernels.packed_attention(qkv[..., : step.inner].flatten(2), step.heads)
        yield x, _linear(bank, unwindowed(mixed, grid, window), step.matrices[1])


def _subsampled_attention(
    bank: WeightBank, x: Tensor, steps: Sequence[SubsampledAttention]
) -> Iterator[tuple[Tensor, Tensor]]:
    widest = max(steps, key=lambda step: step.inner)
    q_matrix, kv_matrix, _, *reduction = widest.matrices
    normed = _normed(bank, x, LAYER_NORM_EPS)
    q = _linear(bank, normed, q_matrix)
    for matrix in reduction:
        normed = _merged(bank, normed.transpose(1, 2).unflatten(2, widest.grid), matrix)
    kv = _linear(bank, normed, kv_matrix).unflatten(-1, (2, widest.inner))
    for step in steps:
        queries, keys, values = (
            part[..., : step.inner].unflatten(-1, (step.heads, step.head_dim)).transpose(1, 2)
            for part in (q, *kv.unbind(-2))
        )
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        yield x, _linear(bank, mixed.transpose(1, 2).flatten(2), step.matrices[2])


def _position_convolution(
    bank: WeightBank, x: Tensor, steps: Sequence[PositionConvolution]
) -> Iterator[tuple[Tensor, Tensor]]:
    for step in steps:
        (matrix,) = step.matrices
        weight = bank.weight(matrix)
        planes = x.transpose(1, 2).unflatten(2, step.grid).to(weight.dtype)
        positions = F.conv2d(planes, weight, bank.bias(matrix), padding=1, groups=step.dim)
        yield x, _tokens(positions)


def _linear(bank: WeightBank, x: Tensor, matrix: Matrix, norm: bool = False) -> Tensor:
    weight = bank.weight(matrix)
    if norm:
        x = _normed(bank, x, LAYER_NORM_EPS)
    return F.linear(x.to(weight.dtype), weight, bank.bias(matrix))


def _normed(bank: WeightBank, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], *bank.unit(x.shape[-1]), eps=eps)


def _tokens(patches: Tensor) -> Tensor:
    return patches.flatten(2).transpose(1, 2)


_LAYERS: dict[type[Step], Any] = {
    Embedding: _embedding,
    SelfAttention: _self_attention,
    MLP: _mlp,
    Pooling: _pooling,
    PatchMerging: _patch_merging,
    LocalAttention: _local_attention,
    SubsampledAttention: _subsampled_attention,
    PositionConvolution: _position_convolution,
}

SUPPORTED = tuple(_LAYERS)
