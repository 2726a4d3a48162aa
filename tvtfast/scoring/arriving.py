"""Scores on their way from a device, while the device goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

T = TypeVar("T")


class Arriving:
    """A tensor that is copied to the host behind what is queued on the current stream.

    Args:
        x: fp64, of any shape.
    """

    def __init__(self, x: Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if x.is_cuda:
            self._host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
            self._host.copy_(x, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(x.device))
        else:
            self._host = x.cpu()

    def values(self) -> npt.NDArray[np.float64]:
        """The values, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        found: npt.NDArray[np.float64] = self._host.numpy()
        return found


def one_behind(parts: Iterable[T]) -> Iterator[T]:
    """Each part when the next one has been made, the last at the end. Where making one fails or is
    interrupted, the part before it comes first."""
    before: list[T] = []
    try:
        for part in parts:
            yield from before
            before = [part]
    except GeneratorExit:
        raise
    except BaseException:
        yield from before
        raise
    yield from before
