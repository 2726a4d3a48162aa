"""Which backend serves a call, and why the others do not.

A backend is asked for by name, in this order of precedence: the ``backend`` argument, the
:func:`use_backend` context, the environment variable ``TVTFAST_BACKEND``; ``auto`` is the default.
The choice is made inside the registered operator, on real tensors, so a compiled graph holds one
operator whichever backend serves it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from . import cuda, native, reference, triton
from .cuda import attention_map as cuda_attention_map
from .cuda import attention_map_distances as cuda_attention_map_distances
from .cuda import indexed as cuda_indexed
from .cuda import segment_norms as cuda_segment_norms
from .examples import Device
from .native import attention_block as native_attention_block
from .native import attention_jvp as native_attention_jvp
from .native import attention_map as native_attention_map
from .native import attention_map_distances as native_attention_map_distances
from .native import indexed as native_indexed
from .native import layer_norm as native_layer_norm
from .native import linear as native_linear
from .native import mlp_block as native_mlp_block
from .native import packed_attention as native_packed_attention
from .native import segment_norms as native_segment_norms
from .native import self_attention_stats as native_self_attention_stats
from .native import slice_norms as native_slice_norms
from .reference import angle_distance as reference_angle_distance
from .reference import attention_block as reference_attention_block
from .reference import attention_jvp as reference_attention_jvp
from .reference import attention_map as reference_attention_map
from .reference import gram as reference_gram
from .reference import indexed as reference_indexed
from .reference import layer_norm as reference_layer_norm
from .reference import linear as reference_linear
from .reference import mlp_block as reference_mlp_block
from .reference import packed_attention as reference_packed_attention
from .reference import segment_norms as reference_segment_norms
from .reference import self_attention_stats as reference_self_attention_stats
from .reference import slice_norms as reference_slice_norms
from .spec import OPERATORS
from .triton import capability

AUTO = "auto"
ENVIRONMENT_VARIABLE = "TVTFAST_BACKEND"


class BackendError(RuntimeError):
    """A backend asked for by name cannot serve the call."""


@dataclass(frozen=True)
class Implementation:
    """One operator on one backend.

    Attributes:
        backend: Name of the backend.
        reasons: ``reasons(*arguments)``: why it cannot serve these arguments; empty where it can.
            Pure and cheap: it reads metadata, never values.
        run: ``run(*arguments)``: the operator itself, for arguments without reasons.
        device: Type of the only device ``auto`` tries it on; None for any. Passing over a backend
            this way is much cheaper than gathering its reasons.
    """

    backend: str
    reasons: Callable[..., tuple[str, ...]]
    run: Callable[..., Any]
    device: str | None = None


def _cuda(module: Any, run: Callable[..., Any]) -> Implementation:
    return Implementation(cuda.NAME, module.reasons, run, device="cuda")


def _native(module: Any, run: Callable[..., Any]) -> Implementation:
    return Implementation(native.NAME, module.reasons, run, device="cpu")


def _triton(reasons: Callable[..., tuple[str, ...]], module: str, function: str) -> Implementation:
    return Implementation(triton.NAME, reasons, triton.launcher(module, function), device="cuda")


def _reference(run: Callable[..., Any]) -> Implementation:
    return Implementation(reference.NAME, reference.reasons, run)


IMPLEMENTATIONS: Mapping[str, tuple[Implementation, ...]] = {
    "attention_map": (
        _cuda(cuda_attention_map, cuda_attention_map.forward),
        _triton(capability.attention_map, "attention_map", "forward"),
        _native(native_attention_map, native_attention_map.forward),
        _reference(reference_attention_map.forward),
    ),
    "attention_map_distance": (
        _cuda(cuda_attention_map, cuda_attention_map.distance),
        _triton(capability.attention_map, "attention_map", "distance"),
        _native(native_attention_map, native_attention_map.distance),
        _reference(reference_attention_map.distance),
    ),
    "attention_map_distances": (
        _triton(capability.attention_map_distances, "attention_map_distances", "distances"),
        _cuda(cuda_attention_map_distances, cuda_attention_map_distances.distances),
        _native(native_attention_map_distances, native_attention_map_distances.distances),
        _reference(reference_attention_map.distances),
    ),
    "attention_map_backward": (
        _cuda(cuda_attention_map, cuda_attention_map.backward),
        _triton(capability.attention_map, "attention_map_backward", "backward"),
        _native(native_attention_map, native_attention_map.backward),
        _reference(reference_attention_map.backward),
    ),
    "segment_norms": (
        _cuda(cuda_segment_norms, cuda_segment_norms.norms),
        _triton(capability.segment_norms, "segment_norms", "norms"),
        _native(native_segment_norms, native_segment_norms.norms),
        _reference(reference_segment_norms.norms),
    ),
    "slice_norms": (
        _triton(capability.slice_norms, "slice_norms", "norms"),
        _native(native_slice_norms, native_slice_norms.norms),
        _reference(reference_slice_norms.norms),
    ),
    "indexed_normal_": (
        _cuda(cuda_indexed, cuda_indexed.normal_),
        _triton(capability.indexed, "indexed", "normal_"),
        _native(native_indexed, native_indexed.normal_),
        _reference(reference_indexed.normal_),
    ),
    "indexed_uniform_": (
        _cuda(cuda_indexed, cuda_indexed.uniform_),
        _triton(capability.indexed, "indexed", "uniform_"),
        _native(native_indexed, native_indexed.uniform_),
        _reference(reference_indexed.uniform_),
    ),
    "self_attention_stats": (
        _triton(capability.self_attention_stats, "self_attention_stats", "stats"),
        _native(native_self_attention_stats, native_self_attention_stats.stats),
        _reference(reference_self_attention_stats.stats),
    ),
    "packed_attention": (
        _native(native_packed_attention, native_packed_attention.forward),
        _reference(reference_packed_attention.forward),
    ),
    "layer_norm": (
        _native(native_layer_norm, native_layer_norm.forward),
        _reference(reference_layer_norm.forward),
    ),
    "linear": (
        _native(native_linear, native_linear.write),
        _reference(reference_linear.write),
    ),
    "mlp_block": (
        _triton(capability.mlp_block, "mlp_block", "write"),
        _native(native_mlp_block, native_mlp_block.write),
        _reference(reference_mlp_block.write),
    ),
    "attention_block": (
        _triton(capability.attention_block, "attention_block", "write"),
        _native(native_attention_block, native_attention_block.write),
        _reference(reference_attention_block.write),
    ),
    "attention_jvp": (
        _triton(capability.attention_jvp, "attention_jvp", "forward"),
        _native(native_attention_jvp, native_attention_jvp.forward),
        _reference(reference_attention_jvp.forward),
    ),
    "gram": (
        _triton(capability.gram, "gram", "forward"),
        _reference(reference_gram.forward),
    ),
    "angle_distance": (
        _triton(capability.angle_distance, "angle_distance", "forward"),
        _reference(reference_angle_distance.forward),
    ),
}
"""Implementations of every operator, fastest first; a new backend is one more entry in each."""

_context: ContextVar[str | None] = ContextVar("tvtfast_backend", default=None)


def backends() -> tuple[str, ...]:
    """Names of all backends, in the order of the table."""
    return tuple(dict.fromkeys(i.backend for entry in IMPLEMENTATIONS.values() for i in entry))


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run the operators of this context (thread or task) on one backend.

    Args:
        name: ``auto``, or one of :func:`backends`. A named backend works or raises
            :class:`BackendError`; it is never replaced silently.
    """
    token = _context.set(_known(name, "use_backend"))
    try:
        yield
    finally:
        _context.reset(token)


def requested(backend: str | None) -> str:
    """The backend asked for by argument, context or environment; ``auto`` where none is."""
    if backend is not None:
        return _known(backend, "backend")
    context = _context.get()
    if context is not None:
        return context
    return _known(os.environ.get(ENVIRONMENT_VARIABLE, AUTO), ENVIRONMENT_VARIABLE)


def run(operator: str, arguments: tuple[Any, ...], backend: str | None) -> Any:
    """Run an operator on the fastest backend that can serve it, or on the one asked for by name."""
    return _select(operator, arguments, backend).run(*arguments)


def serving(operator: str, *arguments: Any) -> str:
    """Name of the backend that serves a call, for callers that prepare it differently.

    Args:
        operator: Name of the operator.
        *arguments: Of its schema, in their order; where results go may be left out.

    Raises:
        BackendError: The backend asked for by name cannot serve the call.
    """
    return _select(operator, arguments, None).backend


def _select(operator: str, arguments: tuple[Any, ...], backend: str | None) -> Implementation:
    name = requested(backend)
    device = _device_type(arguments[0]) if name == AUTO else None
    declined: list[str] = []
    for implementation in IMPLEMENTATIONS[operator]:
        if name == AUTO:
            if implementation.device not in (None, device):
                continue
        elif name != implementation.backend:
            continue
        reasons = implementation.reasons(*arguments)
        if not reasons:
            return implementation
        declined.append(f"backend {implementation.backend!r}: {'; '.join(reasons)}")
    if declined:
        raise BackendError(
            f"tvtfast::{operator} cannot serve this call: {'. '.join(declined)}."
            " Use backend='auto', or change what the reasons name."
        )
    names = ", ".join(repr(i.backend) for i in IMPLEMENTATIONS[operator])
    raise BackendError(
        f"tvtfast::{operator} has no backend {name!r} (it has {names}). Use one of these,"
        " or backend='auto'."
    )


def _device_type(first: Tensor | Sequence[Tensor]) -> str:
    """Device type of the leading argument: a tensor, or tensors that share a device."""
    tensor = first if isinstance(first, Tensor) else next(iter(first))
    return tensor.device.type


@dataclass(frozen=True)
class Explanation:
    """Who serves an operator, and why not somebody faster.

    Attributes:
        operator: Name of the operator.
        device: Where the call was to run.
        backend: The backend ``auto`` takes.
        declined: Faster backends and their reasons.
    """

    operator: str
    device: str
    backend: str
    declined: Mapping[str, tuple[str, ...]]


def explain(operator: str | None = None, *, device: Device = "cpu") -> tuple[Explanation, ...]:
    """Which backend ``auto`` takes for a typical call (`Operator.example`).

    Args:
        operator: Name of one operator; every operator where none is given.
        device: Device of the tensors of the call.
    """
    if operator is not None and operator not in IMPLEMENTATIONS:
        raise ValueError(f"operator {operator!r} is unknown; known are {', '.join(OPERATORS)}")
    return tuple(_explain(name, device) for name in OPERATORS if operator in (None, name))


def _explain(operator: str, device: Device) -> Explanation:
    arguments = OPERATORS[operator].example(device)
    declined: dict[str, tuple[str, ...]] = {}
    for implementation in IMPLEMENTATIONS[operator]:
        reasons = implementation.reasons(*arguments)
        if not reasons:
            return Explanation(operator, str(device), implementation.backend, declined)
        declined[implementation.backend] = reasons
    raise BackendError(f"no backend serves a typical call of tvtfast::{operator}: {declined}")


_NAMES = (AUTO, *backends())


def _known(name: str, origin: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"{origin}: backend {name!r} is unknown; known are {', '.join(_NAMES)}")
    return name
