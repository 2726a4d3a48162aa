"""Class-balanced draws from a labelled set."""

from __future__ import annotations

import numpy as np
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

    by_class = np.argsort(shuffled, kind="stable")
    _, first, size = np.unique(shuffled[by_class], return_index=True, return_counts=True)
    turn = np.empty_like(shuffled)
    turn[by_class] = np.arange(len(shuffled)) - np.repeat(first, size)

    chosen = np.lexsort((class_position[shuffled], turn))[:count]
    return [int(index) for index in items[chosen]]
