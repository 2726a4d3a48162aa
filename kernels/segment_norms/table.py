"""A list of tensors with their addresses packed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from ..backend import capture
from ..dtypes import SUPPORTED_DTYPES
from ..layout import tensor_kinds


class SegmentTable(Sequence[Tensor]):
    """Addresses, lengths and dtypes of dense tensors, for repeated :func:`segment_norms` calls.

    Gathering ten thousand addresses costs milliseconds; the table does it once. It keeps its
    tensors alive, sees values changed in place, and refuses to work once a tensor has moved to
    other memory.

    Attributes:
        tensors: The tensors.
        addresses: ``[n]`` int64, lengths: ``[n]`` int64, dtypes: ``[n]`` int64, positions in
            :data:`~tvtfast.kernels.dtypes.SUPPORTED_DTYPES`; on the CPU.
        packed: What backends made of the table, by their name; each fills its entry on first use.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tuple(tensors)
        self._pointers = [t.data_ptr() for t in self.tensors]
        self.addresses = torch.tensor(self._pointers, dtype=torch.int64)
        self.lengths = torch.tensor([t.numel() for t in self.tensors], dtype=torch.int64)
        codes = {dtype: code for code, dtype in enumerate(SUPPORTED_DTYPES)}
        self.dtypes = torch.tensor([codes[t.dtype] for t in self.tensors], dtype=torch.int64)
        self.packed: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.tensors)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Tensor, ...]: ...

    def __getitem__(self, index: int | slice) -> Tensor | tuple[Tensor, ...]:
        return self.tensors[index]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    @cached_property
    def kinds(self) -> tuple[Tensor, ...]:
        """One tensor of every type, dtype and device in the list."""
        return tensor_kinds(self.tensors)

    def __repr__(self) -> str:
        return f"SegmentTable({len(self)} tensors, {int(self.lengths.sum())} elements)"

    def check(self) -> None:
        """Raise ``RuntimeError`` where a tensor no longer lies where it was packed."""
        pointers = [t.data_ptr() for t in self.tensors]
        if pointers != self._pointers:
            moved = next(
                i for i, (a, b) in enumerate(zip(pointers, self._pointers, strict=True)) if a != b
            )
            raise RuntimeError(
                f"segment_norms: tensor {moved} of the SegmentTable has moved to other memory"
                " since pack_segments; pack the tensors again"
            )


def kinds_of(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """One tensor of every type, dtype and device of a list or table."""
    return tensors.kinds if isinstance(tensors, SegmentTable) else tensor_kinds(tensors)


def copy_reasons(tensors: Sequence[Tensor], backend: str) -> tuple[str, ...]:
    """Why a backend cannot copy the addresses to the device now, if it has not before."""
    if isinstance(tensors, SegmentTable) and backend in tensors.packed:
        return ()
    return capture.copy_reasons(
        tensors[0].device, "a SegmentTable of pack_segments used once before"
    )
