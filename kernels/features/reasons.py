"""Why a backend cannot serve an operator over one tensor of features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import Tensor

from ..backend import cuda, native, triton
from ..layout import elsewhere

SIZE_LIMIT = 2**30


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
    return triton.missing() + triton.tensor_reasons("x", call.x) + elsewhere(call.x, tuple(call))


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
