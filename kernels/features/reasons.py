"""Why a backend cannot serve an operator over one tensor of features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

from ..backend import cuda, native, triton
from ..layout import elsewhere

SIZE_LIMIT = 2**30
MOST_POSITIONS = 65_535 * 32
"""Of features or a map in Triton: the programs of an image lie along the second axis of a grid,
which has 65,535, and the smallest tile of a large image has 32 positions."""
AXIS_LIMIT = 2**29
"""Of the product of an axis of features and of a map, which Triton takes in 32 bits."""


class FeaturesCall(Protocol):
    """A call with features ``[B, H, W, C]`` and height and width of a map."""

    @property
    def x(self) -> Tensor: ...

    @property
    def size(self) -> Sequence[int]: ...

    def __iter__(self) -> Iterator[Any]: ...


def native_reasons(call: FeaturesCall) -> tuple[str, ...]:
    """Why C++ cannot serve these features (and teacher map, norm or gradient)."""
    named = native.tensor_reasons("x", call.x)
    return native.missing() + named + elsewhere(call.x, tuple(call))


def triton_reasons(call: FeaturesCall) -> tuple[str, ...]:
    """Why Triton cannot serve them."""
    declined = triton.missing() + triton.tensor_reasons("x", call.x)
    return declined + extent_reasons(call.x, call.size) + elsewhere(call.x, tuple(call))


def extent_reasons(x: Tensor, size: Sequence[int]) -> tuple[str, ...]:
    """Why features, or a map of them, are too large for a grid or for indices in 32 bits."""
    extents = tuple(x.shape[1:3])
    positions = max(math.prod(extents), math.prod(size))
    if positions > MOST_POSITIONS:
        return (f"an image has {positions} positions (allowed: up to {MOST_POSITIONS})",)
    product = max(one * other for one, other in zip(extents, size, strict=True))
    if extents != tuple(size) and product >= AXIS_LIMIT:
        return (
            f"features {extents[0]}x{extents[1]} resized to {size[0]}x{size[1]} multiply to"
            f" {product} along an axis (allowed: below {AXIS_LIMIT})",
        )
    return ()


def cuda_reasons(call: FeaturesCall) -> tuple[str, ...]:
    """Why CUDA C++ cannot serve them."""
    x, size = call.x, call.size
    declined = cuda.tensor_reasons([("x", x)]) + elsewhere(x, tuple(call))
    images, height, width, channels = x.shape
    largest = max(height * width, size[0] * size[1], channels)
    if largest >= SIZE_LIMIT:
        declined += (f"an image has {largest} positions or channels (allowed: below {SIZE_LIMIT})",)
    if images >= 2**31:
        declined += (f"x has {images} images (allowed: below 2^31)",)
    return declined
