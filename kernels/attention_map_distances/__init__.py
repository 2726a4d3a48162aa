"""Public operator of distances of features that differ in width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import transforms
from ..attention_map_distance.definition import Arguments as OneArguments
from ..calls import execute
from ..dtypes import accumulation_dtype
from ..features import arguments
from ..layout import tensor_kinds
from . import reference
from .definition import Arguments

__all__ = ["attention_map_distances"]


def attention_map_distances(
    xs: Sequence[Tensor],
    teacher_map: Tensor,
    *,
    size: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    grid: Sequence[int] | None = None,
    backend: str | None = None,
) -> Tensor:
    """:func:`~.attention_map_distance` of many features that differ in width, against one teacher.

    ``distances[k] = attention_map_distance(xs[k], teacher_map)``: with one backend, the same bits.

    Args:
        xs: One tensor per candidate, each as in :func:`~.attention_map`: tokens ``[*, P + N, C_k]``
            if ``grid`` is given, else features ``[*, C_k, H, W]``. They share device, dtype and
            every axis but that of channels; strides are free.
        teacher_map: ``[*, H* W*]``, as in :func:`~.attention_map_distance`, for one candidate.
        size: As in :func:`~.attention_map`.
        prefix_tokens: As in :func:`~.attention_map`.
        grid: As in :func:`~.attention_map`.
        backend: As in :func:`~.attention_map`.

    Returns:
        Distances ``[K, *]``; fp64 for fp64 input, else fp32.

    Differentiable as :func:`~.attention_map_distance` is, which serves the candidates one by one
    where gradients are recorded.

    Determinism and error bound are those of :func:`~.attention_map_distance`. The triton backend
    copies a table of addresses to the device on every call, which a CUDA graph cannot capture; the
    cuda backend launches once per candidate and can be captured.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: ``xs`` is empty, its tensors differ in more than their channels, or shapes do
            not fit together.
        BackendError: The backend asked for by name cannot serve the call.
    """
    function = "attention_map_distances"
    views, leading = arguments.feature_views(function, xs, prefix_tokens, grid)
    target = arguments.target_size(function, views[0], size)
    rows = arguments.teacher_rows(function, teacher_map, views[0], leading, target)
    rows = rows.to(accumulation_dtype(views[0].dtype))
    call = Arguments(views, rows, target)
    if transforms.takes_reference(function, backend):
        distances = reference.run(call)
    elif transforms.records_gradients(*xs, teacher_map):
        calls = (OneArguments(view, rows, target) for view in views)
        one = "attention_map_distance"
        distances = torch.stack([execute(one, c, backend, c.x, rows)[0] for c in calls])
    else:
        distances = execute(function, call, backend, *tensor_kinds(xs), teacher_map)
    return distances.reshape(len(views), *leading)
