"""Public operator of the distance of attention maps to a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .. import transforms
from ..calls import execute
from ..dtypes import accumulation_dtype
from ..features import arguments
from . import reference
from .definition import Arguments

__all__ = ["attention_map_distance"]


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

    ``d = mean_p (t_p - a_p)^2`` with ``a`` the :func:`~.attention_map` of ``x``, summed from the
    differences: no cancellation where student and teacher agree.

    Args:
        x: As in :func:`~.attention_map`.
        teacher_map: ``[*, H* W*]``, leading dimensions broadcast to those of ``x``, such as
            ``[B, N]`` for ``x`` ``[K, B, P + N, C]``.
        size: As in :func:`~.attention_map`; the teacher's grid where it is larger.
        prefix_tokens: As in :func:`~.attention_map`.
        grid: As in :func:`~.attention_map`.
        backend: As in :func:`~.attention_map`.

    Returns:
        Distance ``[*]``; fp64 for fp64 ``x``, else fp32.

    Differentiable once in ``x`` and ``teacher_map``; the gradient of ``x`` is computed in fp32 and
    has its dtype. Transforms and determinism are as in :func:`~.attention_map`. Error bound:
    :func:`tvtfast.kernels.attention_map_distance.definition.tolerance`.

    Raises:
        TypeError: A tensor is not floating-point of a listed dtype.
        ValueError: Shapes do not fit together, or the teacher map has another number of positions.
        BackendError: The backend asked for by name cannot serve the call.

    Source: the released code of TVT, whose teacher-aware metric is the negated mean over images.
    """
    view, leading = arguments.feature_view("attention_map_distance", x, prefix_tokens, grid)
    target = arguments.target_size("attention_map_distance", view, size)
    rows = arguments.teacher_rows("attention_map_distance", teacher_map, view, leading, target)
    call = Arguments(view, rows.to(accumulation_dtype(x.dtype)), target)
    if transforms.takes_reference("attention_map_distance", backend):
        distance, _, _ = reference.run(call)
    else:
        distance, _, _ = execute("attention_map_distance", call, backend, x, teacher_map)
    return distance if len(leading) == 1 else distance.reshape(leading)
