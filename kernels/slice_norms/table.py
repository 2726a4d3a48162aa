"""Sizes of leading blocks of a matrix, looked at once."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class SliceTable:
    """Sizes of slices, for repeated :func:`slice_norms` calls with weights of any device.

    Attributes:
        sizes: ``[n, 2]`` int64, rows and columns of every slice; on the CPU.
        rows, columns: The largest of each; 0 where there is no slice.
        packed: What backends made of the table, by their name and the device of the weight; each
            fills its entry on first use.
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
