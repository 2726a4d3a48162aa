"""Validation of queries, keys and maps over the keys."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .. import checks
from .definition import STATISTICS


def attention_arguments(
    function: str, q: Tensor, k: Tensor, statistics: Sequence[str]
) -> list[str]:
    """Refuse queries and keys that do not fit together; the names of the statistics as a list."""
    checks.like_queries(function, {"q": q, "k": k})
    names = list(statistics)
    if isinstance(statistics, str) or len(set(names)) < len(names) or set(names) - set(STATISTICS):
        raise ValueError(
            f"{function}: statistics={statistics!r}; pass a sequence of different names of"
            f" {', '.join(STATISTICS)}"
        )
    return names


def key_map(function: str, teacher: Tensor | None, q: Tensor) -> Tensor | None:
    """Teacher map over the keys as rows ``[B, N]``."""
    if teacher is None:
        return None
    checks.check_dtype(function, "teacher", teacher)
    if teacher.device != q.device:
        raise ValueError(
            f"{function}: teacher is on {teacher.device}, q on {q.device}; move one to the other"
        )
    images, _, tokens, _ = q.shape
    shape = (1,) * (2 - teacher.dim()) + tuple(teacher.shape)
    if len(shape) != 2 or shape[0] not in (1, images) or shape[1] != tokens:
        raise ValueError(
            f"{function}: teacher has shape {tuple(teacher.shape)}; it is a map over the keys,"
            f" {(images, tokens)} or one row of it; give prefix tokens the value they shall have,"
            " such as torch.nn.functional.pad(map, (1, 0)) for one class token"
        )
    return teacher.expand(images, tokens)
