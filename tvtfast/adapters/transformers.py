"""Vision models of Hugging Face: features for every proxy, statistics of their attention.

``tvtfast.score([model], feature_fn=features, ...)`` reads the features of a model as it is. Where
its outputs are asked for too, of a teacher or by gradient proxies, give ``VisionModel(model)``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tvtfast import kernels
from tvtfast.common.optional import need
from tvtfast.models import SpatialFeatures, UnsupportedModelError

_ADVICE = "pass feature_fn=lambda model, images: ... returning SpatialFeatures"


class VisionModel(nn.Module):
    """A vision model as others are: images ``[B, C, H, W]`` to logits ``[B, num_classes]``, or to
    its pooled output ``[B, D]`` where it has no classifier. The model is not copied."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.model(pixel_values=images)
        found: Tensor | None = outputs.get("logits", outputs.get("pooler_output"))
        if found is None:
            raise UnsupportedModelError(f"{type(self.model).__name__} has no logits and no pooler")
        return found.flatten(1)

    def forward_intermediates(
        self, images: Tensor, indices: int | None = None, *, intermediates_only: bool = True
    ) -> list[SpatialFeatures]:
        """The last ``indices`` of `features`, or all."""
        return features(self.model, images)[-(indices or 0) :]


def features(model: nn.Module, images: Tensor) -> list[SpatialFeatures]:
    """What every layer or stage puts out: ``hidden_states`` without that of the embedding.

    Tokens ``[B, P+N, C]`` lie on the grid of the patches (``config.patch_size``), after P class,
    distillation and register tokens; maps ``[B, C, h, w]`` are taken as they are.

    Raises:
        UnsupportedModelError: There are no hidden states, or their tokens are not those of a grid.
    """
    outputs: Any = model(pixel_values=images, output_hidden_states=True)
    states = outputs.get("reshaped_hidden_states") or outputs.get("hidden_states")
    if not states:
        raise UnsupportedModelError(f"{type(model).__name__} returned no hidden_states; {_ADVICE}")
    config: Any = model.config
    layers = len(getattr(config, "depths", ())) or getattr(config, "num_hidden_layers", 0)
    return [_spatial(model, state, images) for state in states[-layers:]]


def _spatial(model: Any, state: Tensor, images: Tensor) -> SpatialFeatures:
    if state.ndim == 4:
        return SpatialFeatures(state)
    patch, (height, width) = getattr(model.config, "patch_size", None), images.shape[-2:]
    down, right = patch if isinstance(patch, (list, tuple)) else (patch or 1, patch or 1)
    grid = (height // down, width // right)
    prefix = state.shape[1] - grid[0] * grid[1]
    if not 0 <= prefix <= 2 + getattr(model.config, "num_register_tokens", 0):
        raise UnsupportedModelError(
            f"{type(model).__name__} returned {state.shape[1]} tokens, and patches of {patch} in "
            f"{height} x {width} pixels are {grid[0] * grid[1]}; {_ADVICE}"
        )
    return SpatialFeatures(state, grid, prefix)


def register_attention() -> None:
    """Add ``"tvtfast"`` to ``AttentionInterface``, for ``model.set_attn_implementation``.

    It computes what ``"sdpa"`` does. With ``output_attentions=True`` the ``attentions`` of a model
    are `tvtfast.kernels.SelfAttentionStats`, differentiable, one per layer; no weights ``[B, H, N,
    N]`` are formed.
    """
    need("transformers", "5.0", what="tvtfast.adapters.transformers", extra="hosts")
    from transformers import AttentionInterface, AttentionMaskInterface

    fused = AttentionInterface()["sdpa"]

    def attention(module: Any, q: Any, k: Any, v: Any, mask: Any, **options: Any) -> Any:
        asked = options.pop("output_attentions", False)
        mixed, _ = fused(module, q, k, v, mask, **options)
        if not asked:
            return mixed, None
        causal = options.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        if causal or mask is not None or options.get("position_bias") is not None:
            name = type(module).__name__
            raise UnsupportedModelError(f"{name} has a mask or bias; use models.attention_stats")
        return mixed, kernels.self_attention_stats(q, k, scale=options.get("scaling"))

    AttentionInterface.register("tvtfast", attention)
    AttentionMaskInterface.register("tvtfast", AttentionMaskInterface()["sdpa"])
