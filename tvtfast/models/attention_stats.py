"""Where the blocks of a Vision Transformer attend, whatever model it is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast.kernels import SelfAttentionStats, self_attention_stats
from tvtfast.models.attention_calls import Caller, Product, observed
from tvtfast.models.attention_layout import (
    OTHERWISE,
    AttentionLayer,
    NoTokenAttention,
    heads_second,
    kind,
    layer,
)
from tvtfast.models.attention_weights import biased_stats, weight_stats
from tvtfast.models.features import UnsupportedModelError
from tvtfast.models.modes import temporary_mode


class AttentionStats(dict[str, SelfAttentionStats]):
    """Statistics by the name of the attention module, in the order of the calls.

    Attributes:
        layers: What the statistics of each stand for: heads, windows, queries and keys.
        left_out: Why other layers have none, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, AttentionLayer] = {}
        self.left_out: dict[str, str] = {}


def attention_stats(
    model: nn.Module,
    images: Tensor,
    *,
    statistics: Sequence[str] = ("class_row", "column_sums", "row_entropy"),
    teacher_map: Tensor | None = None,
) -> AttentionStats:
    """Statistics of the attention of every layer, from one forward pass without gradients.

    The attention is taken where the model calls it, with its biases and masks. From queries and
    keys where it calls `torch.nn.functional.scaled_dot_product_attention`; no weights are formed if
    nothing is added to the products. Otherwise from its weights, a softmax that meets values.
    ``docs/attention.md`` lists models that were tried. The model runs in evaluation mode and is
    left as it was.

    Args:
        model: A candidate of tvtfast, a ViT of timm, torchvision or Hugging Face (with ``sdpa`` or
            ``eager`` attention), or any module that attends as they do.
        images: ``[B, 3, H, W]``.
        statistics: As in `tvtfast.kernels.self_attention_stats`; ``class_row`` is the row of the
            first token, whether or not that is a class token.
        teacher_map: ``[B, N]`` over the patches of every layer, such as a teacher's attention map
            of that grid; class, distillation and register tokens count as 0. With it come
            ``teacher_products``.

    Returns:
        Statistics by the name of the attention module, in the order of their calls; a module's
        second call is ``name:2``. Layers with windows have those of the windows of an image side by
        side, ``[B * windows, H, N]``. Where keys are pooled to M < N tokens, ``class_row`` and
        ``column_sums`` are ``[B, H, M]`` and ``head_mean`` is ``[B, N, M]``. Its ``layers`` say
        which layer is what, and ``left_out`` which have none, and why.

    Warns:
        UserWarning: Some layers are left out.

    Raises:
        UnsupportedModelError: No attention between tokens was called, with the reasons.
        ValueError: ``teacher_map`` does not cover the keys of a layer, or a statistic is unknown.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise UnsupportedModelError(
            f"{type(model).__name__} has scripted modules, whose attention cannot be seen; pass the"
            " model that was scripted"
        )
    nothing = images.new_empty(0, 1, 1, 1, dtype=torch.float32)
    self_attention_stats(nothing, nothing, statistics=statistics)  # refuses unknown names
    observer = _Statistics(len(images), statistics, teacher_map)
    with temporary_mode(model, training=False), torch.no_grad(), observed(model, observer):
        model(images)
    found = observer.found
    reasons = [f"{name}: {reason}" for name, reason in found.left_out.items()]
    if not found:
        raise UnsupportedModelError(
            f"{type(model).__name__} called no attention between tokens that is known as such"
            f" ({'; '.join(reasons[:3]) or 'no scaled_dot_product_attention, no softmax'}). Pass"
            " queries and keys to tvtfast.kernels.self_attention_stats"
        )
    if reasons:
        more = f" and {len(reasons) - 1} more (left_out of the result)" if reasons[1:] else ""
        warnings.warn(f"attention_stats leaves out {reasons[0]}{more}", UserWarning, stacklevel=2)
    return found


class _Statistics:
    """Makes statistics of every attention that a model calls."""

    def __init__(self, images: int, statistics: Sequence[str], teacher_map: Tensor | None) -> None:
        self.found = AttentionStats()
        self._images, self._statistics, self._teacher_map = images, statistics, teacher_map

    def product(self, caller: Caller, product: Product) -> None:
        lead = torch.broadcast_shapes(product.q.shape[:-2], product.k.shape[:-2])
        try:
            q, k = (
                heads_second(caller, x.expand(*lead, *x.shape[-2:])) for x in (product.q, product.k)
            )
            pairs = (*q.shape[:-1], k.shape[-2])
            place = layer(caller, self._images, pairs, q.shape[-1], formed=False)
            mask = product.mask
            if mask is not None:
                mask = heads_second(caller, mask.expand(*lead, *pairs[-2:]))
        except NoTokenAttention as reason:
            self._leave_out(caller, str(reason))
            return
        teacher = self._teacher(caller, place)
        scale, plain = product.scale, mask is None and not product.causal and q.shape == k.shape
        if plain:
            stats = self_attention_stats(
                q, k, scale=scale, teacher=teacher, statistics=self._statistics
            )
        else:
            stats = biased_stats(q, k, scale, mask, product.causal, self._statistics, teacher)
        self._keep(caller, place, stats)

    def weights(self, caller: Caller, weights: Tensor, values: Tensor) -> None:
        try:
            weights = heads_second(caller, weights)
            shape = tuple(weights.shape)
            place = layer(caller, self._images, shape, values.shape[-1], formed=True)
        except NoTokenAttention as reason:
            self._leave_out(caller, str(reason))
            return
        teacher = self._teacher(caller, place)
        self._keep(caller, place, weight_stats(weights, self._statistics, teacher))

    def changed(self, caller: Caller, function: str) -> None:
        self._leave_out(
            caller, f"its softmax goes through {function} before it meets values, if it does"
        )

    def _keep(self, caller: Caller, place: AttentionLayer, stats: SelfAttentionStats) -> None:
        name, calls = caller.name, 1
        while name in self.found:
            calls += 1
            name = f"{caller.name}:{calls}"
        self.found[name] = stats
        self.found.layers[name] = place

    def _leave_out(self, caller: Caller, reason: str) -> None:
        self.found.left_out[caller.name] = OTHERWISE.get(kind(caller.module), reason)

    def _teacher(self, caller: Caller, place: AttentionLayer) -> Tensor | None:
        """The map with zeros for the tokens before the patches."""
        teacher_map = self._teacher_map
        if teacher_map is None:
            return None
        patches, keys = teacher_map.shape[-1], place.keys
        prefix = keys - patches
        rows = teacher_map.shape[0] if teacher_map.dim() == 2 else 1
        fits = teacher_map.dim() in (1, 2) and rows in (1, self._images)
        if not fits or place.windows > 1 or not 0 <= prefix < max(patches, 1):
            inside = f" in each of {place.windows} windows" if place.windows > 1 else ""
            raise ValueError(
                f"{caller.name or type(caller.module).__name__} attends to {keys} tokens{inside},"
                f" and teacher_map has shape {tuple(teacher_map.shape)}; it is a map over the keys,"
                f" [{self._images}, N] with the N patches of every layer: pass such a one, or none"
            )
        return F.pad(teacher_map, (prefix, 0)).expand(self._images, keys)
