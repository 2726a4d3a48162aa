"""Cutting a token grid into windows, and joining them again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Windows:
    """The windows of a grid, row by row; those at its end may reach over the edge.

    Args:
        grid: Height and width of the token grid.
        window: Height and width of a window.
    """

    grid: tuple[int, int]
    window: tuple[int, int]

    @property
    def counts(self) -> tuple[int, int]:
        """Windows in a column and in a row."""
        (height, width), (rows, columns) = self.grid, self.window
        return -(-height // rows), -(-width // columns)

    @property
    def _overhang(self) -> tuple[int, int]:
        """Rows and columns of padding at the bottom and on the right."""
        (height, width), (rows, columns), (down, across) = self.grid, self.window, self.counts
        return down * rows - height, across * columns - width

    def cut(self, x: Tensor) -> Tensor:
        """Tokens ``[B, N, C]`` as windows ``[B*W, A, C]``, padded with zeros."""
        below, right = self._overhang
        planes = x.unflatten(1, self.grid)
        if below or right:
            planes = F.pad(planes, (0, 0, 0, right, 0, below))
        (rows, columns), (down, across) = self.window, self.counts
        tiles = planes.unflatten(2, (across, columns)).unflatten(1, (down, rows))
        return tiles.transpose(2, 3).reshape(-1, rows * columns, x.shape[-1])

    def join(self, windows: Tensor) -> Tensor:
        """The inverse of `cut`; padding is dropped."""
        (height, width), (rows, columns), (down, across) = self.grid, self.window, self.counts
        tiles = windows.unflatten(1, (rows, columns)).unflatten(0, (-1, down, across))
        planes = tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return planes[:, :height, :width].flatten(1, 2)

    def attended(self, device: torch.device) -> Tensor | None:
        """Which positions of every window lie on the grid, bool ``[W, A]``; ``None`` for all."""
        if not any(self._overhang):
            return None
        inside = torch.ones(1, math.prod(self.grid), 1, dtype=torch.bool, device=device)
        return self.cut(inside).squeeze(-1)
