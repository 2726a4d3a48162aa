"""What each kind of step computes, for many candidates at once.

Activations are ``[N, T, dim]``: images of all candidates of a wave, tokens, channels. What several
steps of one parent share (the norm and the first projection) is computed once, at the largest width
asked for: a narrower step reads a slice of it, since weights are shared by index.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tvtfast import kernels
from tvtfast.models import UnsupportedModelError
from tvtfast.models.vitas_twins import MERGING_NORM_EPS, unwindowed, windows
from tvtfast.population.bank import WeightBank
from tvtfast.population.relative_attention import added_channels, relative_attention
from tvtfast.spaces.steps import MLP, Embedding, Matrix, Pooling, SelfAttention, Step
from tvtfast.spaces.twins_steps import (
    LocalAttention,
    PatchMerging,
    PositionConvolution,
    SubsampledAttention,
)

Write = Callable[[Tensor], object]
"""Writes the activations of a step to a contiguous tensor ``[N, T, width]``."""

Forward = Callable[[WeightBank, Tensor, Sequence[Any]], Iterator[Write]]

Block = Callable[[Tensor, Tensor], object]
"""Writes what all alternative steps make of ``[N, T, dim]`` to a contiguous tensor ``[K, N, T,
width]``; to ``[N, T, width]`` where there is one alternative."""


@dataclass(frozen=True)
class Layer:
    """How one kind of step is computed, and how much memory that takes.

    Args:
        forward: ``forward(bank, x, steps)``: what alternative steps make of one input, see
            `outputs`.
        values_per_token: ``values_per_token(step, alternatives)``: numbers of the dtype of the
            activations that a call makes per token beside its result, at most.
        block: ``block(bank, x, steps)``: how operators make all of them where they belong, for any
            input like this one, or ``None``; see `block_of`.
    """

    forward: Forward
    values_per_token: Callable[[Any, int], int]
    block: Callable[[WeightBank, Tensor, Sequence[Any]], Block | None] | None = None


_layers: dict[type[Step], Layer] = {}


def register_layer(step: type[Step], layer: Layer) -> None:
    """Declare how populations compute steps of a type.

    Raises:
        ValueError: The type is registered already.
    """
    if step in _layers:
        raise ValueError(f"steps of type {step.__name__} are registered already")
    _layers[step] = layer


def layer_of(step: Any) -> Layer:
    """How a step is computed.

    Raises:
        UnsupportedModelError: Its type was not registered.
    """
    if type(step) not in _layers:
        raise UnsupportedModelError(
            f"populations cannot compute steps of type {type(step).__name__}; call "
            "tvtfast.population.register_layer"
        )
    return _layers[type(step)]


_RELATIVE_TABLES = ("key_rows", "key_columns", "value_rows", "value_columns")


def outputs(bank: WeightBank, x: Tensor, steps: Sequence[Any]) -> Iterator[Write]:
    """What alternative steps make of one input.

    Args:
        bank: The weights.
        x: ``[N, T, dim]``, or images ``[B, C, H, W]`` for embeddings.
        steps: Steps of one kind that read the same weights.

    Yields:
        Per step a function that writes its activations, before the next is asked for.

    Raises:
        UnsupportedModelError: No layer is registered for the kind of step.
    """
    yield from layer_of(steps[0]).forward(bank, x, steps)


def _embedding(bank: WeightBank, images: Tensor, steps: Sequence[Embedding]) -> Iterator[Write]:
    for step in steps:
        (matrix,) = step.matrices
        weight = bank.weight(matrix)
        patches = F.conv2d(images.to(weight.dtype), weight, bank.bias(matrix), step.stride)
        names = ("cls_token", "dist_token")[: step.prefix_tokens]
        prefix = torch.cat([bank.table(name, (1, 1, step.dim)) for name in names], dim=1)
        prefix = prefix.expand(len(images), -1, -1)
        if step.positions == patches.shape[-2] * patches.shape[-1]:
            patches = patches + bank.table("pos_embed", (1, step.dim, *step.grid))
            yield partial(_concatenate, prefix, _tokens(patches))
        else:
            positions = bank.table("pos_embed", (1, step.positions, step.dim))
            tokens = torch.cat((prefix, _tokens(patches)), dim=1)
            yield partial(_add, tokens, positions)


def block_of(bank: WeightBank, x: Tensor, steps: Sequence[Any]) -> Block | None:
    """How operators make all that alternative steps make of one input, without anything to be
    copied or added afterwards; ``None`` where `outputs` has to be asked.

    Args:
        bank: The weights.
        x: Like the input: its dtype, device and last dimensions count.
        steps: Steps of one kind that read the same weights, smaller ones first.
    """
    block = layer_of(steps[0]).block
    return None if block is None else block(bank, x, steps)


def _attention_block(bank: WeightBank, x: Tensor, steps: Sequence[SelfAttention]) -> Block | None:
    """One operator; where heads differ in width, one for every alternative, but on a CPU, where to
    share queries, keys and values is faster."""
    if any(step.relative_positions for step in steps):
        return None
    widest = steps[-1]
    if len({step.head_dim for step in steps}) == 1:
        heads = [step.heads for step in steps]
        operator = partial(kernels.attention_block, num_heads=widest.heads)
        return _fused(bank, x, operator, "attention_block", steps, "heads", heads)
    if x.device.type == "cpu":
        return None
    alone = [_attention_block(bank, x, [step]) for step in steps]
    blocks = [block for block in alone if block is not None]
    return partial(_one_by_one, blocks) if len(blocks) == len(alone) else None


def _one_by_one(blocks: Sequence[Block], x: Tensor, out: Tensor) -> None:
    for block, part in zip(blocks, out.unbind(0), strict=True):
        block(x, part)


def _mlp_block(bank: WeightBank, x: Tensor, steps: Sequence[MLP]) -> Block | None:
    widths = [step.hidden for step in steps]
    return _fused(bank, x, kernels.mlp_block, "mlp_block", steps, "hidden", widths)


def _fused(
    bank: WeightBank,
    x: Tensor,
    operator: Callable[..., Tensor],
    name: str,
    steps: Sequence[SelfAttention] | Sequence[MLP],
    keyword: str,
    sizes: Sequence[int],
) -> Block | None:
    """One operator that makes all alternatives, which differ in one argument, if a backend keeps
    what is between its layers on chip, or in the cache."""
    if any(small >= large for small, large in itertools.pairwise(sizes)):
        return None
    if not all(map(bank.nests, zip(*(step.matrices for step in steps), strict=True))):
        return None
    first, second = steps[-1].matrices
    weights = bank.weight(first), bank.bias(first), bank.weight(second), bank.bias(second)
    if kernels.serving(name, x, *weights, sizes) == "reference":
        return None
    several = {} if len(sizes) == 1 else {keyword: sizes}

    def block(x: Tensor, out: Tensor) -> None:
        operator(x, *weights, eps=bank.norm_eps, out=out, **several)

    return block


def _self_attention(bank: WeightBank, x: Tensor, steps: Sequence[SelfAttention]) -> Iterator[Write]:
    widest = max(steps, key=lambda step: step.inner)
    nested = bank.nests([step.matrices[0] for step in steps])
    qkv = _qkv(bank, x, widest) if nested else None
    for step in steps:
        own = _qkv(bank, x, step) if qkv is None else qkv
        yield partial(_add_linear, bank, x, _attention(bank, own, step), step.matrices[1])


def _qkv(bank: WeightBank, x: Tensor, step: SelfAttention) -> Tensor:
    """Queries, keys and values, ``[N, T, 3, inner]``."""
    return _linear(bank, x, step.matrices[0], norm=True).unflatten(-1, (3, step.inner))


def _attention(bank: WeightBank, qkv: Tensor, step: SelfAttention) -> Tensor:
    """Of ``[N, T, 3, width]``, the first heads of it: ``[N, T, heads * head_dim]``."""
    parts = qkv[..., : step.inner]
    if not step.relative_positions:
        return kernels.packed_attention(parts.flatten(2), step.heads)
    shape = (step.relative_positions, step.head_dim)
    tables = [bank.table(f"{step.name}attn.{name}", shape) for name in _RELATIVE_TABLES]
    return relative_attention(parts.flatten(2), step.heads, tables, step.grid)


def _mlp(bank: WeightBank, x: Tensor, steps: Sequence[MLP]) -> Iterator[Write]:
    widest = max(steps, key=lambda step: step.hidden)
    hidden = _linear(bank, x, widest.matrices[0], norm=True, gelu=True)
    for step in steps:
        yield partial(_add_linear, bank, x, hidden[..., : step.hidden], step.matrices[1])


def _pooling(bank: WeightBank, x: Tensor, steps: Sequence[Pooling]) -> Iterator[Write]:
    for step in steps:
        convolution, linear = step.matrices
        prefix, patches = x[:, : step.prefix_tokens], x[:, step.prefix_tokens :]
        patches = patches.transpose(1, 2).unflatten(2, step.before)
        weight = bank.weight(convolution)
        pooled = F.conv2d(
            patches.to(weight.dtype), weight, bank.bias(convolution), 2, 1, groups=step.dim
        )
        yield partial(_concatenate, _linear(bank, prefix, linear), _tokens(pooled))


def _patch_merging(bank: WeightBank, x: Tensor, steps: Sequence[PatchMerging]) -> Iterator[Write]:
    for step in steps:
        planes = x if x.ndim == 4 else x.transpose(1, 2).unflatten(2, step.before)
        yield partial(_copy, _merged(bank, planes, step.matrices[0]))


def _merged(bank: WeightBank, planes: Tensor, matrix: Matrix) -> Tensor:
    """A convolution without overlap, and a norm."""
    weight = bank.weight(matrix)
    merged = F.conv2d(planes.to(weight.dtype), weight, bank.bias(matrix), matrix.kernel)
    return kernels.layer_norm(_tokens(merged), eps=MERGING_NORM_EPS)


def _local_attention(
    bank: WeightBank, x: Tensor, steps: Sequence[LocalAttention]
) -> Iterator[Write]:
    widest = max(steps, key=lambda step: step.inner)
    grid, window = widest.grid, widest.window
    cut = windows(kernels.layer_norm(x, eps=bank.norm_eps), grid, window)
    qkv = _linear(bank, cut, widest.matrices[0]).unflatten(-1, (3, widest.inner))
    for step in steps:
        mixed = kernels.packed_attention(qkv[..., : step.inner].flatten(2), step.heads)
        joined = unwindowed(mixed, grid, window)
        yield partial(_add_linear, bank, x, joined, step.matrices[1])


def _subsampled_attention(
    bank: WeightBank, x: Tensor, steps: Sequence[SubsampledAttention]
) -> Iterator[Write]:
    widest = max(steps, key=lambda step: step.inner)
    q_matrix, kv_matrix, _, *reduction = widest.matrices
    normed = kernels.layer_norm(x, eps=bank.norm_eps)
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
        heads = mixed.transpose(1, 2).flatten(2)
        yield partial(_add_linear, bank, x, heads, step.matrices[2])


def _position_convolution(
    bank: WeightBank, x: Tensor, steps: Sequence[PositionConvolution]
) -> Iterator[Write]:
    for step in steps:
        (matrix,) = step.matrices
        weight = bank.weight(matrix)
        planes = x.transpose(1, 2).unflatten(2, step.grid).to(weight.dtype)
        positions = F.conv2d(planes, weight, bank.bias(matrix), padding=1, groups=step.dim)
        yield partial(_add, x, _tokens(positions))


def _linear(
    bank: WeightBank, x: Tensor, matrix: Matrix, norm: bool = False, gelu: bool = False
) -> Tensor:
    weight, bias = bank.weight(matrix), bank.bias(matrix)
    eps = bank.norm_eps if norm else None
    return kernels.linear(x, weight, bias, norm_eps=eps, gelu=gelu)


def _add_linear(bank: WeightBank, x: Tensor, hidden: Tensor, matrix: Matrix, out: Tensor) -> None:
    """``x`` and a linear layer of ``hidden``, summed where the product is."""
    kernels.linear(hidden, bank.weight(matrix), bank.bias(matrix), residual=x, out=out)


def _copy(x: Tensor, out: Tensor) -> None:
    out.copy_(x)


def _add(x: Tensor, y: Tensor, out: Tensor) -> None:
    torch.add(x, y, out=out)


def _concatenate(prefix: Tensor, tokens: Tensor, out: Tensor) -> None:
    torch.cat((prefix, tokens), dim=1, out=out)


def _tokens(patches: Tensor) -> Tensor:
    return patches.flatten(2).transpose(1, 2)


def _results(step: Any, alternatives: int) -> int:
    """One fused pass makes the results of all alternatives at once."""
    return int((1 + alternatives) * step.width)


def _mlp_values(step: MLP, alternatives: int) -> int:
    return max(2 * step.dim + step.hidden, _results(step, alternatives))


def _self_attention_values(step: SelfAttention, alternatives: int) -> int:
    wide = step.inner + step.heads * added_channels(step.grid) if step.relative_positions else 0
    fused = 4 * step.inner + _results(step, alternatives)
    return 2 * step.dim + max(8 * step.inner + 5 * wide, fused)


def _local_attention_values(step: LocalAttention, alternatives: int) -> int:
    return 2 * step.dim + -(-step.padded // step.tokens) * (step.dim + 8 * step.inner)


def _subsampled_attention_values(step: SubsampledAttention, alternatives: int) -> int:
    return 4 * step.dim + 8 * step.inner


def _few_values(step: Any, alternatives: int) -> int:
    return int(3 * step.width)


register_layer(Embedding, Layer(_embedding, _few_values))
register_layer(SelfAttention, Layer(_self_attention, _self_attention_values, _attention_block))
register_layer(MLP, Layer(_mlp, _mlp_values, _mlp_block))
register_layer(Pooling, Layer(_pooling, _few_values))
register_layer(PatchMerging, Layer(_patch_merging, _few_values))
register_layer(LocalAttention, Layer(_local_attention, _local_attention_values))
register_layer(SubsampledAttention, Layer(_subsampled_attention, _subsampled_attention_values))
register_layer(PositionConvolution, Layer(_position_convolution, _few_values))
