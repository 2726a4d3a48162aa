"""The check every list of class labels passes."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_CLASSES = 100_000
"""Most classes of data that somebody brings; a label of a damaged file makes no more than these."""


def check_labels(labels: Tensor, count: int, num_classes: int | None, what: str) -> Tensor:
    """Labels as int64, after checking them.

    Args:
        labels: Integers, ``[count]``.
        count: Number of images they belong to; at least 1.
        num_classes: Labels must lie in ``0..num_classes-1``; ``None`` where it is not known.
        what: Whose labels these are, for error messages.

    Returns:
        int64 ``[count]``.

    Raises:
        ValueError: Where there is no image, or the dtype, shape or range is wrong.
    """
    if count == 0:
        raise ValueError(f"{what}: there is no image; give at least one")
    is_integer = not (labels.is_floating_point() or labels.is_complex()) and (
        labels.dtype != torch.bool
    )
    if not is_integer or labels.shape != (count,):
        raise ValueError(
            f"{what}: labels are {labels.dtype} of shape {list(labels.shape)}; allowed are "
            f"integers of shape [{count}], one per image"
        )
    labels = labels.to(torch.int64)
    largest = torch.iinfo(torch.int64).max if num_classes is None else num_classes - 1
    wrong = torch.nonzero((labels < 0) | (labels > largest)).flatten()
    if len(wrong):
        allowed = "0 or more" if num_classes is None else f"0..{largest}"
        first = int(wrong[0])
        raise ValueError(
            f"{what}: {len(wrong)} of {count} labels are out of range, the first at index {first} "
            f"is {int(labels[first])}; allowed is {allowed} (labels count from 0)"
        )
    return labels
