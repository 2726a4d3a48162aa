"""The kernels for AMX, and the tiles in software that they run in here."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tvtfast.kernels.backend.native import instruction_sets

from .cases import CASES
from .serving import Tiles


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", CASES)
def test_operators(tiles: Tiles, name: str) -> None:
    assert instruction_sets()[0] == "amx_bf16"
    CASES[name]()
    assert tiles.products() > 0


def config(rows: tuple[int, ...], row_bytes: tuple[int, ...], palette: int = 1) -> bytes:
    """The operand of LDTILECFG."""
    pad = 8 - len(rows)
    return struct.pack("<BB14x8H16x8B8x", palette, 0, *row_bytes, *[0] * pad, *rows, *[0] * pad)


def product(tiles: Tiles, shape: bytes, left: Tensor, right: Tensor, sums: Tensor) -> str | None:
    """One product of tiles, in ``sums``; what a CPU would raise."""
    pointers = (ctypes.c_void_p(tensor.data_ptr()) for tensor in (left, right, sums))
    tiles.library.emulated_product(shape, *pointers)
    error = tiles.library.emulated_error()
    return None if error is None else error.decode()


def test_a_product_is_that_of_the_manual(tiles: Tiles) -> None:
    """Tiles of any size, to the bit: sums of even and of odd products, each rounded to fp32."""
    for rows, pairs, columns in ((16, 16, 16), (1, 1, 1), (5, 7, 3), (16, 2, 9)):
        left = torch.randn(16, 32).bfloat16()
        right = torch.randn(16, 32).bfloat16()  # [pair, (column, one of the pair)]
        sums = torch.randn(16, 16)
        before = sums.clone()
        shape = config((rows, rows, pairs), (4 * columns, 4 * pairs, 4 * columns))
        assert product(tiles, shape, left, right, sums) is None
        parts = torch.zeros(2, rows, columns)
        for pair in range(pairs):
            for one in range(2):
                a = left[:rows, 2 * pair + one].double()
                b = right[pair, one : 2 * columns : 2].double()
                parts[one] = (parts[one].double() + a[:, None] * b).float()
        before[:rows, :columns] += parts[0] + parts[1]
        assert torch.equal(sums, before)  # and what is beside the tile stays


def test_subnormal_numbers_are_zero(tiles: Tiles) -> None:
    """Of operands and of results, whatever the CPU's own mode; halves go to the even number."""
    full = config((16, 16, 16), (64, 64, 64))
    smallest = torch.finfo(torch.float32).tiny

    def one(a: float, b: float, c: float) -> float:
        left, right = torch.zeros(16, 32).bfloat16(), torch.zeros(16, 32).bfloat16()
        sums = torch.zeros(16, 16)
        left[0, 0], right[0, 0], sums[0, 0] = a, b, c
        assert product(tiles, full, left, right, sums) is None
        return sums[0, 0].item()

    assert one(smallest / 2, 2.0**100, 0) == 0
    assert one(smallest, 0.5, 0) == 0
    assert one(smallest, -0.5, smallest) == smallest  # -0.5 smallest was flushed before
    assert one(smallest, 1, 0) == smallest
    assert one(1, 2.0**-24, 1) == 1
    assert one(1 + 2.0**-7, 2.0**-24, 1) == 1 + 2.0**-23
    assert one(3, 2.0**-24, 1) == 1 + 2 * 2.0**-23


@pytest.mark.parametrize(
    ("shape", "error"),
    [
        (config((16, 16, 16), (64, 64, 64), palette=2), "#GP"),
        (config((17, 16, 16), (64, 64, 64)), "#GP: the size"),
        (config((16, 16, 16), (64, 68, 64)), "#GP: the size"),
        (config((16, 16, 16), (64, 0, 64)), "#GP: the size"),
        (config((16, 16, 16), (64, 64, 64))[:-1] + b"\1", "#GP: a reserved byte"),
        (bytes(64), "#UD: tiles are not configured"),
        (config((16, 16), (64, 64)), "#UD: a tile is not configured"),
        (config((16, 15, 16), (64, 64, 64)), "#UD: sizes"),
        (config((16, 16, 8), (64, 64, 64)), "#UD: sizes"),
    ],
)
def test_what_a_cpu_refuses_is_reported(tiles: Tiles, shape: bytes, error: str) -> None:
    left, right = torch.zeros(16, 32).bfloat16(), torch.zeros(16, 32).bfloat16()
    found = product(tiles, shape, left, right, torch.zeros(16, 16))
    assert found is not None and found.startswith(error)
