"""What every operator promises: schema, error bound, bytes and floating-point operations.

This table is read by the registration (:mod:`.library`), the tests and the benchmarks, so a promise
is written once. Notation: ``u`` is the unit roundoff of the accumulation format, 2^-24 for inputs
of at most 32 bits (fp16 and bf16 are converted to fp32 exactly, before the first operation) and
2^-53 for fp64 inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Device = str | torch.device

SUPPORTED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Input dtypes of every operator."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Format of results and, at least, of sums: fp64 for fp64 inputs, else fp32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def roundoff(dtype: torch.dtype) -> float:
    """Unit roundoff ``u`` of a floating-point dtype."""
    return torch.finfo(dtype).eps / 2


@dataclass(frozen=True)
class Operator:
    """One registered operator.

    Attributes:
        schema: Its ``torch.library`` schema; the name of the operator is the text before ``(``.
        tolerance: ``tolerance(dtype, length, extent=0)``: bound of the error for inputs of
            ``dtype``, ``length`` terms per sum and, where features are resized, a longest side of
            ``extent``. What the bound is relative to is stated at each rule.
        traffic: Bytes that must cross the memory bus, from the arguments of the operator.
        flops: Floating-point operations that must be done, from the arguments of the operator.
        example: ``example(device="cpu")``: arguments of a typical fp32 call on a device.
    """

    schema: str
    tolerance: Callable[..., float]
    traffic: Callable[..., int]
    flops: Callable[..., int]
    example: Callable[..., tuple[Any, ...]]

    @property
    def name(self) -> str:
        return self.schema.partition("(")[0]


def map_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map relative to the largest value of its image.

    A sum of ``length`` squares carries a random-walk error of about sqrt(length) u, the division by
    the norm doubles it, and 4 standard deviations are allowed; the rest of the arithmetic costs at
    most 8 u. A bilinear tap lies at a coordinate up to ``extent``, known to ``extent`` u, and
    enters squared twice (value and norm): 8 extent u covers both axes.
    """
    u = roundoff(accumulation_dtype(dtype))
    return u * (8 + 4 * math.sqrt(length) + 8 * extent)


def distance_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of an attention map distance relative to 1 / positions.

    With d = ||t - a||^2 / positions and ||t - a|| <= 2, an error ||e|| of the map moves d by at
    most (4 ||e|| + ||e||^2) / positions; ||e|| <= map_tolerance since the map has unit norm.
    """
    return 5 * map_tolerance(dtype, length, extent)


def gradient_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Error of the input gradient relative to the largest gradient of its image.

    Twice the error of the map, which enters both factors of the projection ``g - a (g . a)``, and
    the final rounding to the dtype of the input.
    """
    return 4 * map_tolerance(dtype, length, extent) + 2 * roundoff(dtype)


def norm_tolerance(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Relative error of a norm: fp64 sums of ``length`` squares, one rounding to the result."""
    return 1.01 * roundoff(accumulation_dtype(dtype)) + (length + 2) * roundoff(torch.float64)


def exact(dtype: torch.dtype, length: int, extent: int = 0) -> float:
    """Backends agree bit for bit."""
    return 0.0


def _map_bytes(x: Tensor, size: Sequence[int]) -> int:
    return x.nbytes + x.shape[0] * (size[0] * size[1] + 1) * accumulation_dtype(x.dtype).itemsize


def _map_flops(x: Tensor, size: Sequence[int]) -> int:
    images, height, width, channels = x.shape
    per_value = 2 if (height, width) == tuple(size) else 9
    return images * size[0] * size[1] * channels * per_value


def _distance_bytes(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return _map_bytes(x, size) + teacher.nbytes


def _distance_flops(x: Tensor, teacher: Tensor, size: Sequence[int]) -> int:
    return _map_flops(x, size) + 3 * x.shape[0] * size[0] * size[1]


def _backward_bytes(x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]) -> int:
    return 2 * x.nbytes + map.nbytes + norm.nbytes + grad.nbytes


def _backward_flops(x: Tensor, map: Tensor, norm: Tensor, grad: Tensor, size: Sequence[int]) -> int:
    return 2 * _map_flops(x, size)


def _segment_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors) + 4 * len(tensors)


def _segment_flops(tensors: Sequence[Tensor]) -> int:
    return 2 * sum(tensor.numel() for tensor in tensors)


def _slice_bytes(weight: Tensor, sizes: Tensor) -> int:
    return weight.nbytes + sizes.nbytes + 4 * sizes.shape[0]


def _slice_flops(weight: Tensor, sizes: Tensor) -> int:
    return 2 * weight.numel()


def _fill_bytes(tensor: Tensor, key: int, first: float, second: float) -> int:
    return tensor.nbytes


def _fill_flops(tensor: Tensor, key: int, first: float, second: float) -> int:
    return 2 * tensor.numel()


def _features(device: Device) -> Tensor:
    return torch.ones(2, 14, 14, 192, device=device)


def _map_example(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), [14, 14]


def _distance_example(device: Device = "cpu") -> tuple[Any, ...]:
    return _features(device), torch.full((2, 196), 1 / 14, device=device), [14, 14]


def _backward_example(device: Device = "cpu") -> tuple[Any, ...]:
    values = torch.full((2, 196), 1 / 14, device=device)
    norm = torch.full((2,), 14.0, device=device)
    return _features(device), values, norm, values, [14, 14]


def _segment_example(device: Device = "cpu") -> tuple[Any, ...]:
    return ([torch.ones(192, 192, device=device), torch.ones(192, device=device)],)


def _slice_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.ones(192, 192, device=device), torch.tensor([[192, 192], [96, 144]])


def _fill_example(device: Device = "cpu") -> tuple[Any, ...]:
    return torch.empty(192, 192, device=device), 0, 0.0, 1.0


OPERATORS = {
    operator.name: operator
    for operator in (
        Operator(
            "attention_map(Tensor x, SymInt[] size, *, str? backend=None)"
            " -> (Tensor map, Tensor norm)",
            map_tolerance,
            _map_bytes,
            _map_flops,
            _map_example,
        ),
        Operator(
            "attention_map_distance(Tensor x, Tensor teacher, SymInt[] size,"
            " *, str? backend=None) -> (Tensor distance, Tensor map, Tensor norm)",
            distance_tolerance,
            _distance_bytes,
            _distance_flops,
            _distance_example,
        ),
        Operator(
            "attention_map_backward(Tensor x, Tensor map, Tensor norm, Tensor grad_map,"
            " SymInt[] size, *, str? backend=None) -> Tensor",
            gradient_tolerance,
            _backward_bytes,
            _backward_flops,
            _backward_example,
        ),
        Operator(
            "segment_norms(Tensor[] tensors, *, str? backend=None) -> Tensor",
            norm_tolerance,
            _segment_bytes,
            _segment_flops,
            _segment_example,
        ),
        Operator(
            "slice_norms(Tensor weight, Tensor sizes, *, str? backend=None) -> Tensor",
            norm_tolerance,
            _slice_bytes,
            _slice_flops,
            _slice_example,
        ),
        Operator(
            "indexed_normal_(Tensor(a!) tensor, int key, float mean, float std,"
            " *, str? backend=None) -> ()",
            exact,
            _fill_bytes,
            _fill_flops,
            _fill_example,
        ),
        Operator(
            "indexed_uniform_(Tensor(a!) tensor, int key, float low, float high,"
            " *, str? backend=None) -> ()",
            exact,
            _fill_bytes,
            _fill_flops,
            _fill_example,
        ),
    )
}
"""Every registered operator by name."""
