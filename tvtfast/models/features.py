"""Where the spatial features of a model come from, whatever model it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvtfast import kernels


class UnsupportedModelError(TypeError):
    """The module does not offer spatial features."""


@dataclass(frozen=True)
class SpatialFeatures:
    """Features of a batch on a grid of positions.

    Args:
        x: Tokens ``[B, P+N, C]`` when ``grid`` is given, else a feature map ``[B, C, H, W]``.
            Tokens of several candidates of one width are ``[K, B, P+N, C]``.
        grid: ``(h, w)`` with ``h*w = N``, row by row.
        prefix_tokens: ``P``, the tokens before the patches.
    """

    x: Tensor
    grid: tuple[int, int] | None = None
    prefix_tokens: int = 0

    def __post_init__(self) -> None:
        if self.x.ndim not in ((4,) if self.grid is None else (3, 4)):
            raise UnsupportedModelError(
                f"features of shape {list(self.x.shape)} are not spatial; a map is [B, C, H, W], "
                "tokens are [B, prefix + h*w, C] with grid=(h, w); choose a layer before pooling"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid."""
        return self.grid or (self.x.shape[-2], self.x.shape[-1])

    def attention_map(self, size: tuple[int, int] | None = None) -> Tensor:
        """Activation-based attention map ``[*, H*W]``, see `tvtfast.kernels.attention_map`."""
        return kernels.attention_map(self.x, **self._layout(size))

    def attention_map_distance(
        self, teacher_map: Tensor, size: tuple[int, int] | None = None
    ) -> Tensor:
        """Mean squared difference to a teacher map, ``[*]``, see
        `tvtfast.kernels.attention_map_distance`."""
        return kernels.attention_map_distance(self.x, teacher_map, **self._layout(size))

    def samples(self) -> Tensor:
        """Patch features of one image per row, ``[B, N*C]``, in the order they lie in."""
        return self.x[:, self.prefix_tokens :].flatten(1) if self.grid else self.x.flatten(1)

    def channels(self) -> Tensor:
        """Patch features as channels over positions, ``[B, C, N]``."""
        return self.x[:, self.prefix_tokens :].mT if self.grid else self.x.flatten(2)

    def resized(self, size: tuple[int, int]) -> SpatialFeatures:
        """The same features on another grid, as a map ``[B, C, H, W]`` of at least fp32 (bilinear,
        align_corners=False, no antialiasing); itself where the grid is that size already."""
        if size == self.size:
            return self
        wide = self.channels().to(torch.promote_types(self.x.dtype, torch.float32))
        planes = wide.unflatten(2, self.size)
        return SpatialFeatures(
            F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
        )

    def _layout(self, size: tuple[int, int] | None) -> dict[str, Any]:
        resized = None if size in (None, self.size) else size
        return {"size": resized, "prefix_tokens": self.prefix_tokens, "grid": self.grid}


_FORMS = (
    "a map [B, C, H, W], tokens [B, N, C] of square images (class and distillation token first, if "
    "there are any), a vector [B, C], tvtfast.models.SpatialFeatures(x, grid=(h, w), "
    "prefix_tokens=p) for other tokens, or a list of these, first block to last"
)
"""What a ``feature_fn`` may return."""

FeatureFn: TypeAlias = Callable[
    [nn.Module, Tensor], SpatialFeatures | Tensor | Sequence[SpatialFeatures | Tensor]
]


def extract_features(
    module: nn.Module,
    images: Tensor,
    *,
    feature_fn: FeatureFn | None = None,
    last_only: bool = False,
) -> list[SpatialFeatures]:
    """Spatial features of every block or stage of ``module``, first to last.

    Args:
        module: A candidate of tvtfast, any model with timm's ``forward_intermediates``, or any
            module at all when ``feature_fn`` is given.
        images: ``[B, 3, H, W]``.
        feature_fn: Called as ``feature_fn(module, images)``; returns a map ``[B, C, H, W]``, tokens
            ``[B, N, C]``, a vector ``[B, C]``, which is a map of one position, or
            `SpatialFeatures`; or a sequence of these. Of tokens alone, ``N`` is a square, or one or
            two more: a class token, and a distillation token after it, come before the patches of
            square images. Other tokens say their grid in `SpatialFeatures`.
        last_only: Keep (and where the model allows it, compute) the last one alone.

    Raises:
        UnsupportedModelError: No way to features is known, or they are not spatial.
    """
    model: Any = module
    found: Sequence[SpatialFeatures | Tensor]
    if feature_fn is not None:
        found = _as_returned(feature_fn(module, images), images)
    elif hasattr(module, "block_features"):
        found = list(model.block_features(images))
    elif hasattr(module, "forward_intermediates"):
        found = model.forward_intermediates(
            images, indices=1 if last_only else None, intermediates_only=True
        )
    else:
        raise UnsupportedModelError(
            f"{type(module).__name__} has no forward_intermediates; pass "
            f"feature_fn=lambda module, images: ... returning {_FORMS}"
        )
    if not found:
        raise UnsupportedModelError(f"{type(module).__name__} returned no features")
    kept = found[-1:] if last_only else found
    return [f if isinstance(f, SpatialFeatures) else _as_map(module, f) for f in kept]


def last_features(
    module: nn.Module, images: Tensor, *, feature_fn: FeatureFn | None = None
) -> SpatialFeatures:
    """Features of the last block or stage, see `extract_features`."""
    return extract_features(module, images, feature_fn=feature_fn, last_only=True)[-1]


def pooled_features(
    module: nn.Module, images: Tensor, *, feature_fn: FeatureFn | None = None
) -> Tensor:
    """One vector per image, ``[B, C]``: what the module's ``pooled_features`` gives, where it has
    one and there is no ``feature_fn``; else the mean of `last_features` over positions (tokens
    before the patches left out). Neither final norm nor head has seen it.
    """
    if feature_fn is None and hasattr(module, "pooled_features"):
        model: Any = module
        return model.pooled_features(images)
    return last_features(module, images, feature_fn=feature_fn).channels().mean(-1)


def features_and_outputs(
    module: nn.Module, images: Tensor, *, feature_fn: FeatureFn | None = None
) -> tuple[list[SpatialFeatures], Any]:
    """Features of every block or stage, and what ``module(images)`` returns.

    One pass where the model can continue from its features (a candidate of tvtfast; timm's
    ``forward_intermediates`` and ``forward_head``), else two.

    Args:
        module: As in `extract_features`.
        images: ``[B, 3, H, W]``.
        feature_fn: As in `extract_features`.

    Raises:
        UnsupportedModelError: As in `extract_features`.
    """
    model: Any = module
    if feature_fn is None and hasattr(module, "block_features"):
        features = extract_features(module, images)
        return features, model.forward_head(features[-1].x)
    continues = hasattr(module, "forward_intermediates") and hasattr(module, "forward_head")
    if feature_fn is None and continues:
        final, found = model.forward_intermediates(images)
        return [_as_map(module, f) for f in found], model.forward_head(final)
    return extract_features(module, images, feature_fn=feature_fn), module(images)


def _as_returned(returned: Any, images: Tensor) -> list[SpatialFeatures]:
    """What a ``feature_fn`` returned, as features of one block or several."""
    single = isinstance(returned, (Tensor, SpatialFeatures, Mapping, str))
    several = [returned] if single or not isinstance(returned, Iterable) else returned
    return [_as_spatial(one, images) for one in several]


def _as_spatial(features: Any, images: Tensor) -> SpatialFeatures:
    if isinstance(features, SpatialFeatures):
        return features
    if not isinstance(features, Tensor):
        raise UnsupportedModelError(
            f"feature_fn returned {type(features).__name__}; return {_FORMS}"
        )
    shape, known = list(features.shape), features.ndim in (2, 3, 4)
    if not known or shape[0] != len(images):
        raise UnsupportedModelError(
            f"feature_fn returned a tensor of shape {shape} for {len(images)} images; return "
            f"{_FORMS}"
        )
    if features.ndim == 4:
        return SpatialFeatures(features)
    if features.ndim == 2:
        return SpatialFeatures(features[:, :, None, None])
    sides = {prefix: math.isqrt(max(shape[1] - prefix, 0)) for prefix in range(3)}
    fitting = [prefix for prefix, side in sides.items() if 0 < side**2 == shape[1] - prefix]
    if not fitting or images.shape[-2] != images.shape[-1]:
        height, width = images.shape[-2:]
        raise UnsupportedModelError(
            f"feature_fn returned {shape[1]} tokens for images of {height} x {width} pixels, and "
            f"their grid is not known from that; return {_FORMS}"
        )
    prefix = fitting[0]
    return SpatialFeatures(features, (sides[prefix], sides[prefix]), prefix)


def _as_map(module: nn.Module, features: object) -> SpatialFeatures:
    if not isinstance(features, torch.Tensor):
        raise UnsupportedModelError(
            f"{type(module).__name__} returned features of type {type(features).__name__}; "
            "return a tensor [B, C, H, W] or SpatialFeatures"
        )
    return SpatialFeatures(features)
