"""Where the blocks of a Vision Transformer attend, without their attention maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.kernels import SelfAttentionStats, self_attention_stats
from tvtfast.models.blocks import Attention
from tvtfast.models.features import UnsupportedModelError
from tvtfast.models.timm_parts import is_timm_attention


def attention_stats(
    model: nn.Module,
    images: Tensor,
    *,
    statistics: Sequence[str] = ("class_row", "column_sums", "row_entropy"),
    teacher_map: Tensor | None = None,
) -> dict[str, SelfAttentionStats]:
    """Statistics of the self-attention of every block, from one forward pass without gradients.

    Works with fused attention on, where no attention map exists. Queries and keys are projected a
    second time; the model itself, its mode and its outputs are left alone.

    Args:
        model: An AutoFormer or PiT candidate, or any module with `timm.layers.Attention` inside, as
            timm's ViT and DeiT have (query and key norms included).
        images: ``[B, 3, H, W]``.
        statistics: As in `tvtfast.kernels.self_attention_stats`.
        teacher_map: ``[B, N]`` over the patches of every block, such as a teacher's attention map
            of that grid; class, distillation and register tokens count as 0. With it come
            ``teacher_products``.

    Returns:
        Statistics by the name of the attention module, in the order of their calls.

    Raises:
        UnsupportedModelError: No attention of a known kind was called, or one was masked.
    """
    found: dict[str, SelfAttentionStats] = {}

    def observe(name: str) -> Any:
        def before(module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
            q, k, scale = _queries_and_keys(name, module, inputs, options)
            teacher = None if teacher_map is None else _over_tokens(teacher_map, q.shape[2])
            found[name] = self_attention_stats(
                q, k, scale=scale, teacher=teacher, statistics=statistics
            )

        return before

    handles = [
        module.register_forward_pre_hook(observe(name), with_kwargs=True)
        for name, module in model.named_modules()
        if isinstance(module, Attention) or is_timm_attention(module)
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise UnsupportedModelError(
            f"{type(model).__name__} called no self-attention of a known kind; known are"
            " AutoFormer and PiT candidates and timm.layers.Attention. Pass queries and keys to"
            " tvtfast.kernels.self_attention_stats"
        )
    return found


def _queries_and_keys(
    name: str, module: Any, inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Tensor, Tensor, float]:
    """Queries, keys ``[B, H, T, D]`` and the factor of their products."""
    if isinstance(module, Attention):
        q, k = module.queries_and_keys(*inputs, **options)
        return q, k, module.scale
    x, *others = inputs
    if any(other is not None and other is not False for other in (*others, *options.values())):
        raise UnsupportedModelError(
            f"{name} was called with a mask; statistics are those of attention to all tokens"
        )
    qkv = module.qkv(x).unflatten(-1, (3, module.num_heads, module.head_dim))
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return module.q_norm(q), module.k_norm(k), module.scale


def _over_tokens(teacher_map: Tensor, tokens: int) -> Tensor:
    """The map with zeros for the tokens before the patches."""
    prefix = tokens - teacher_map.shape[-1]
    return F.pad(teacher_map, (prefix, 0)) if prefix > 0 else teacher_map
