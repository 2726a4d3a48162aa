"""A population as sequences of steps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvtfast.spaces.steps import Step

_PART = 4096
"""Sequences that are held at once."""


@dataclass(frozen=True)
class Paths:
    """Architectures as rows of indices into the distinct steps they are made of.

    Args:
        steps: The distinct steps.
        index: int32 ``[n, longest]``; a row that ends early is filled up with -1.
    """

    steps: tuple[Step, ...]
    index: npt.NDArray[np.int32]

    @classmethod
    def of(cls, sequences: Iterable[Sequence[Step]]) -> Paths:
        """Number the steps of some architectures in the order they come."""
        numbers: dict[Step, int] = {}
        remaining = iter(sequences)
        parts = []
        while part := list(itertools.islice(remaining, _PART)):
            for step in dict.fromkeys(itertools.chain.from_iterable(part)):
                numbers.setdefault(step, len(numbers))
            parts.append(_rows(part, numbers))
        longest = max((part.shape[1] for part in parts), default=0)
        padded = [_padded(part, longest) for part in parts]
        index = np.concatenate(padded) if padded else np.empty((0, 0), dtype=np.int32)
        return cls(tuple(numbers), index)

    def __len__(self) -> int:
        return len(self.index)

    def total(self, values: Iterable[float] | npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Sum along every path of one value per step, ``[n]``."""
        padded = np.append(np.asarray(list(values)), 0)
        total: npt.NDArray[np.generic] = padded[self.index].sum(axis=1)
        return total

    @property
    def params(self) -> npt.NDArray[np.generic]:
        """Parameter counts, int64 ``[n]``."""
        return self.total([step.params for step in self.steps])

    @property
    def flops(self) -> npt.NDArray[np.generic]:
        """FLOPs of one image, two per multiply-add, int64 ``[n]``."""
        return 2 * self.macs

    @property
    def macs(self) -> npt.NDArray[np.generic]:
        """Multiply-adds of one image, int64 ``[n]``."""
        return self.total([step.macs for step in self.steps])


def _rows(
    sequences: Sequence[Sequence[Step]], numbers: Mapping[Step, int]
) -> npt.NDArray[np.int32]:
    lengths = np.fromiter(map(len, sequences), dtype=np.intp, count=len(sequences))
    longest = int(lengths.max())
    index = np.full((len(sequences), longest), -1, dtype=np.int32)
    index[np.arange(longest) < lengths[:, None]] = np.fromiter(
        map(numbers.__getitem__, itertools.chain.from_iterable(sequences)), dtype=np.int32
    )
    return index


def _padded(index: npt.NDArray[np.int32], longest: int) -> npt.NDArray[np.int32]:
    return np.pad(index, ((0, 0), (0, longest - index.shape[1])), constant_values=-1)
