"""What a teacher said of the batches it saw last, for scores that come one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from tvtfast.data import FrozenBatch
from tvtfast.models import Teacher
from tvtfast.scoring.inputs import Conditions, TeacherMaps
from tvtfast.scoring.setup import teacher_class_map, teacher_maps

MOST_BYTES = 256 * 2**20
"""Of features that are kept; those of the last batch are kept whatever their size."""

_WORDS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers as wide as the entries of a tensor; others are read as bytes."""


class TeacherAnswers:
    """A teacher that is asked once about a batch.

    Batches are told apart by their pixels, never by where they lie. Everything is asked anew once
    the weights or statistics of the network were written to.

    Args:
        teacher: The teacher; it stays where it is.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._forget(None)

    def __getstate__(self) -> dict[str, Any]:
        return {"teacher": self._teacher}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["teacher"])  # type: ignore[misc]

    @contextmanager
    def of(self, batch: FrozenBatch, conditions: Conditions) -> Iterator[TeacherMaps]:
        """The answers for a batch; nothing of its memory is kept afterwards.

        Raises:
            ValueError: The features of the teacher hold NaN or infinite values.
            UnsupportedModelError: The teacher has no spatial features.
        """
        current = _sum_of_bits(self._teacher.module), conditions.device
        if current != self._asked:
            self._forget(current)
            self._there = self._teacher.to(conditions.device)
        key = batch.fingerprint, batch.normalization
        answers = self._kept.pop(key, None)
        if answers is None:
            answers = teacher_maps(self._there, batch, conditions)
            assert answers is not None
        answers.make_class_map = partial(teacher_class_map, self._there, batch)
        self._kept[key] = answers
        try:
            yield answers
        finally:
            answers.make_class_map = _ended
            self._let_go()

    def _forget(self, asked: object) -> None:
        self._asked, self._there = asked, self._teacher
        self._kept: dict[object, TeacherMaps] = {}

    def _let_go(self) -> None:
        """Drop what was asked for longest ago, while there is too much."""
        sizes = [sum(x.nbytes for _, x in answers.shared()) for answers in self._kept.values()]
        while len(sizes) > 1 and sum(sizes) > MOST_BYTES:
            del self._kept[next(iter(self._kept))], sizes[0]


def _sum_of_bits(module: nn.Module) -> tuple[int, ...]:
    """Of every weight and buffer its entries, read as integers and added; a step of training, or a
    batch that moves statistics, changes them. Much cheaper than a digest, above all on a GPU."""

    def added(tensor: Tensor) -> Tensor:
        flat = tensor.detach().contiguous().reshape(-1)
        return flat.view(_WORDS.get(flat.element_size(), torch.uint8)).sum(dtype=torch.int64)

    sums = [added(tensor) for tensor in module.state_dict().values()]
    return tuple(torch.stack(sums).tolist()) if sums else ()


def _ended() -> NoReturn:
    raise AssertionError("the batch of these answers is gone")
