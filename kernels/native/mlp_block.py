"""An MLP block in C++: its hidden layer stays in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from . import linear
from ._extension import DTYPE_CODES, INSTRUCTION_SETS, extension, instruction_sets


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
    *,
    instruction_set: str | None = None,
) -> None:
    """Fill ``out`` ``[K, M, C]`` from rows ``[M, C]``, by the fastest kernel or the named one."""
    name = instruction_set or instruction_sets()[0]
    x, w1, w2 = linear.adjacent(x), linear.adjacent(w1), linear.adjacent(w2)
    b1, b2 = (None if bias is None else bias.contiguous() for bias in (b1, b2))
    extension().mlp_block(
        tuple(0 if t is None else t.data_ptr() for t in (x, w1, b1, w2, b2, out)),
        DTYPE_CODES[x.dtype],
        tuple(x.shape),
        (x.stride(0), w1.stride(0), w2.stride(0)),
        list(hidden),
        eps,
        INSTRUCTION_SETS.index(name),
        torch.get_num_threads(),
    )
