"""Public attention map operators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import _checks, _transforms, dispatch, library
from ._segments import tensor_kinds
from .dtypes import accumulation_dtype
from .reference import attention_map as reference

_ops = getattr(torch.ops, library.NAMESPACE)


def attention_map(
    x: Tensor,
    *,
    size: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    grid: Sequence[int] | None = None,
    backend: str | None = None,
) -> Tensor:
    """Activation-based attention map of every image: where its features are large.

    ``s_p = mean_c x_pc^2`` and ``a = s / max(||s||_2, 1e-12)``, after an optional bilinear resize
    of the features themselves (``align_corners=False``, no antialiasing, as
    :func:`torch.nn.functional.interpolate` does it).

    Args:
        x: Tokens ``[*, P + N, C]`` if ``grid`` is given, else features ``[*, C, H, W]``; fp32,
            fp16, bf16 or fp64, any strides.
        size: Height and width ``(H*, W*)`` to resize the features to; their own grid by default.
        prefix_tokens: Number P of class, distillation or register tokens to skip.
        grid: Height and width of the token grid, ``N = height * width``.
        backend: ``auto``, or a name of :func:`~tvtfast.kernels.backends`.

    Returns:
        Map ``[*, H* W*]`` with unit L2 norm per image, in row-major order of positions; fp64 for
        fp64 input, else fp32. An image of zeros has a map of zeros; a NaN makes the map of its
        image NaN.

    Differentiable once in ``x``; inside ``torch.func`` transforms any number of times, through
    plain PyTorch. Sums are fp32 (norms fp64); the native backend returns the same bits whatever the
    number of threads, the triton backend on every run. Magnitudes up to 1e18 are safe in fp32.
    Error bound: :func:`tvtfast.kernels.tolerances.map_tolerance`.

    Raises:
        TypeError: ``x`` is not a floating-point tensor of a listed dtype.
        ValueError: Shapes, ``grid``, ``prefix_tokens`` and ``size`` do not fit together.
        BackendError: The backend asked for by name cannot serve the call.

    Source: Zagoruyko and Komodakis, Paying more attention to attention, ICLR 2017 (sum of squares);
    the released code of TVT (resize before squaring).
    """
    view, leading = _checks.feature_view("attention_map", x, prefix_tokens, grid)
    target = _checks.target_size("attention_map", view, size)
    if _transforms.takes_reference("attention_map", backend):
        values, _ = reference.forward(view, target)
    elif _transforms.is_plain(x):
        values, _ = dispatch.run("attention_map", (view, target), backend)
    else:
        values, _ = _ops.attention_map.default(view, target, backend=backend)
    return values.reshape(*leading, target[0] * target[1])


def attention_map_distance(
    x: Tensor,
    teacher_map: Tensor,
    *,
    size: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    grid: Sequence[int] | None = None,
    backend: str | None = None,
) -> Tensor:
    """Mean squared difference between a teacher's attention map and that of ``x``, per image.

    ``d = mean_p (t_p - a_p)^2`` with ``a`` the :func:`attention_map` of ``x``, summed from the
    differences: no cancellation where student and teacher agree.

    Args:
        x: As in :func:`attention_map`.
        teacher_map: ``[*, H* W*]``, leading dimensions broadcast to those of ``x``, such as
            ``[B, N]`` for ``x`` ``[K, B, P + N, C]``.
        size: As in :func:`attention_map`; the teacher's grid where it is larger.
        prefix_tokens: As in :func:`attention_map`.
        grid: As in :func:`attention_map`.
        backend: As in :func:`attention_map`.

    Returns:
        Distance ``[*]``; fp64 for fp64 ``x``, else fp32.

    Differentiable once in ``x`` and ``teacher_map``; the gradient of ``x`` is computed in fp32 and
    has its dtype. Transforms and determinism are as in :func:`attention_map`. Error bound:
    :func:`tvtfast.kernels.tolerances.distance_tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Shapes do not fit together, or the teacher map has another number of positions.
        BackendError: The backend asked for by name cannot serve the call.

    Source: the released code of TVT, whose teacher-aware metric is the negated mean over images.
    """
    view, leading = _checks.feature_view("attention_map_distance", x, prefix_tokens, grid)
    target = _checks.target_size("attention_map_distance", view, size)
    rows = _checks.teacher_rows("attention_map_distance", teacher_map, view, leading, target)
    rows = rows.to(accumulation_dtype(x.dtype))
    if _transforms.takes_reference("attention_map_distance", backend):
        distance, _, _ = reference.distance(view, rows, target)
    elif _transforms.is_plain(x, teacher_map):
        distance, _, _ = dispatch.run("attention_map_distance", (view, rows, target), backend)
    else:
        distance, _, _ = _ops.attention_map_distance.default(view, rows, target, backend=backend)
    return distance.reshape(leading)


def attention_map_distances(
    xs: Sequence[Tensor],
    teacher_map: Tensor,
    *,
    size: Sequence[int] | None = None,
    prefix_tokens: int = 0,
    grid: Sequence[int] | None = None,
    backend: str | None = None,
) -> Tensor:
    """:func:`attention_map_distance` of many features that differ in width, against one teacher.

    ``distances[k] = attention_map_distance(xs[k], teacher_map)``: with one backend, the same bits.

    Args:
        xs: One tensor per candidate, each as in :func:`attention_map`: tokens ``[*, P + N, C_k]``
            if ``grid`` is given, else features ``[*, C_k, H, W]``. They share device, dtype and
            every axis but that of channels; strides are free.
        teacher_map: ``[*, H* W*]``, as in :func:`attention_map_distance`, for one candidate.
        size: As in :func:`attention_map`.
        prefix_tokens: As in :func:`attention_map`.
        grid: As in :func:`attention_map`.
        backend: As in :func:`attention_map`.

    Returns:
        Distances ``[K, *]``; fp64 for fp64 input, else fp32. Not differentiable: the result has no
        history, except inside ``torch.func`` transforms, where plain PyTorch computes it.

    Determinism and error bound are those of :func:`attention_map_distance`. The triton backend
    copies a table of addresses to the device on every call, which a CUDA graph cannot capture; the
    cuda backend launches once per candidate and can be captured.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: ``xs`` is empty, its tensors differ in more than their channels, or shapes do
            not fit together.
        BackendError: The backend asked for by name cannot serve the call.
    """
    function = "attention_map_distances"
    views, leading = _checks.feature_views(function, xs, prefix_tokens, grid)
    target = _checks.target_size(function, views[0], size)
    rows = _checks.teacher_rows(function, teacher_map, views[0], leading, target)
    rows = rows.to(accumulation_dtype(views[0].dtype))
    if _transforms.takes_reference(function, backend):
        distances = reference.distances(views, rows, target)
    else:
        with torch.no_grad():
            if _transforms.is_plain(*tensor_kinds(xs), teacher_map):
                distances = dispatch.run(function, (views, rows, target), backend)
            else:
                distances = _ops.attention_map_distances.default(
                    views, rows, target, backend=backend
                )
    return distances.reshape(len(views), *leading)
