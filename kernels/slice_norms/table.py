"""Sizes of leading blocks of a matrix, looked at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..backend import capture


class SliceTable:
    """Sizes of slices, for repeated :func:`slice_norms` calls with weights of any device.

    Attributes:
        sizes: ``[n, 2]`` int64, rows and columns of every slice; on the CPU.
        rows, columns: The largest of each; 0 where there is no slice.
        packed: What backends made of the table, by :func:`packed_key`; each fills its entry on
            first use.
    """

    def __init__(self, sizes: Tensor) -> None:
        self.sizes = sizes.contiguous()
        largest: list[int] = sizes.amax(0).tolist() if len(sizes) else [0, 0]
        self.rows, self.columns = largest
        self._least = int(sizes.min()) if len(sizes) else 0
        self.packed: dict[tuple[str, str], Any] = {}

    def __len__(self) -> int:
        return self.sizes.shape[0]

    def __repr__(self) -> str:
        return f"SliceTable({len(self)} slices of up to {self.rows} x {self.columns})"

    def check(self, weight: Tensor) -> None:
        """Raise ``ValueError`` where a slice is not a leading block of ``weight``."""
        rows, columns = weight.shape
        if self._least >= 0 and self.rows <= rows and self.columns <= columns:
            return
        limits = self.sizes.new_tensor([rows, columns])
        outside = ((self.sizes < 0) | (self.sizes > limits)).any(dim=1)
        row = int(outside.int().argmax())
        raise ValueError(
            f"slice_norms: sizes[{row}] = {tuple(self.sizes[row].tolist())} is outside weight;"
            f" allowed are 0 to {rows} rows and 0 to {columns} columns"
        )


def packed_key(backend: str, device: torch.device) -> tuple[str, str]:
    """Where a table keeps what a backend made of it for weights of a device."""
    return backend, str(device)


def copy_reasons(table: SliceTable, backend: str, device: torch.device) -> tuple[str, ...]:
    """Why a backend cannot copy the table to a device now, if it has not before."""
    if packed_key(backend, device) in table.packed:
        return ()
    return capture.copy_reasons(device, "a SliceTable of pack_slices used once before")
