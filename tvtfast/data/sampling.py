"""Class-balanced draws from a labelled set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor


def balanced_indices(labels: Tensor, count: int, seed: int) -> list[int]:
    """Indices of ``count`` different items, classes as even as the set allows.

    Items and classes are shuffled by ``seed``; then one item of every class is taken before a
    second of any, and so on, in the shuffled order of the classes. A class that has run out is
    passed over. A smaller draw with the same seed is the beginning of a larger one.

    Args:
        labels: int64 ``[N]``, non-negative.
        count: Number of items, ``1..N``.
        seed: Non-negative; the same seed draws the same items on every platform and version.
    """
    # RandomState, because only its streams are promised never to change between NumPy versions
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    classes = labels.numpy()
    class_position = rng.permutation(int(classes.max()) + 1)
    items = rng.permutation(len(classes))
    shuffled = classes[items]
    chosen = np.lexsort((class_position[shuffled], _turns(shuffled)))[:count]
    return [int(index) for index in items[chosen]]


def draw_of_classes(labels: Tensor, counts: npt.NDArray[np.int64], seed: int) -> list[int]:
    """Indices of a number of items of every class, in ascending order.

    Fewer items of the same seed are among more of it.

    Args:
        labels: int64 ``[N]``, in ``0..C-1``.
        counts: int64 ``[C]``, at most as many as there are.
        seed: As in `balanced_indices`.
    """
    rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    items = rng.permutation(len(labels))
    shuffled = labels.numpy()[items]
    return sorted(int(index) for index in items[_turns(shuffled) < counts[shuffled]])


def _turns(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many items of the same class stand before each: int64 ``[N]``."""
    by_class = np.argsort(labels, kind="stable")
    _, first, size = np.unique(labels[by_class], return_index=True, return_counts=True)
    turns = np.empty_like(labels)
    turns[by_class] = np.arange(len(labels)) - np.repeat(first, size)
    return turns
