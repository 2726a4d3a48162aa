"""An MLP block as two linear layers in C++: the first once, at the largest width."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from . import linear


def reasons(x: Tensor, *arguments: object) -> tuple[str, ...]:
    """Why the extension cannot, or should not, serve this call."""
    return linear.machine_reasons(x)


def write(
    x: Tensor,
    w1: Tensor,
    b1: Tensor | None,
    w2: Tensor,
    b2: Tensor | None,
    hidden: Sequence[int],
    eps: float,
    out: Tensor,
) -> None:
    """Fill ``out`` ``[K, M, C]`` from rows ``[M, C]``."""
    widest = hidden[-1]
    active = x.new_empty(x.shape[0], widest)
    linear.write(active, x, w1[:widest], None if b1 is None else b1[:widest], None, eps, True)
    for width, result in zip(hidden, out.unbind(0), strict=True):
        linear.write(result, active[:, :width], w2[:, :width], b2, x, None, False)
