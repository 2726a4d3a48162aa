"""Arrays in an ``.npz`` file, read with memory that the size of the file bounds."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib import format as npy

from tvtfast.common.memory import available_memory

FREE_BYTES = 2**26
LARGEST_RATIO = 200
"""An array may have `FREE_BYTES`, or this many times the bytes of the file: images compress by
less, and what compresses by more is a bomb."""

_KINDS = "biufUS"
"""Booleans, integers, floating-point numbers and strings."""


@dataclass(frozen=True)
class Header:
    """What an array is, known before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Archive:
    """An open ``.npz`` file; nothing in it is unpickled. Errors may be of any type."""

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        self._file = file
        self._limit = max(FREE_BYTES, LARGEST_RATIO * size)
        self.names = tuple(
            name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")
        )

    def header(self, name: str) -> Header:
        """Shape and dtype of an array, checked against what the file can hold."""
        member = self._file.getinfo(f"{name}.npy")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(
                f"{name} is compressed by method {member.compress_type}; save with numpy.savez or "
                "numpy.savez_compressed"
            )
        available = available_memory(torch.device("cpu"))
        if member.file_size > min(self._limit, available):
            raise ValueError(
                f"{name} is said to have {member.file_size:,} bytes; allowed are {self._limit:,} "
                f"in a file of this size, and {available:,} are free"
            )
        with self._file.open(member) as file:
            version = npy.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = npy.read_array_header_1_0(file)
            elif version == (2, 0):
                shape, _, dtype = npy.read_array_header_2_0(file)
            else:
                raise ValueError(f"{name} has version {version}; allowed are 1.0 and 2.0")
            begins = file.tell()
        if dtype.kind not in _KINDS or not dtype.itemsize:
            raise ValueError(
                f"{name} is of dtype {dtype}; allowed are numbers and strings, none of which can "
                "run code"
            )
        size = math.prod(shape) * dtype.itemsize
        if begins + size != member.file_size or min(shape, default=0) < 0:
            raise ValueError(
                f"{name} is said to be {dtype} of shape {list(shape)}, but has "
                f"{member.file_size - begins:,} bytes"
            )
        return Header(shape, dtype)

    def read(self, name: str) -> npt.NDArray[Any]:
        """An array, after a look at its header."""
        self.header(name)
        with self._file.open(f"{name}.npy") as file:
            array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
            file.read()  # which compares the checksum of an empty array, too
        return array


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an ``.npz`` file."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a whole .npz file")
    with zipfile.ZipFile(path) as file:
        yield Archive(file, path.stat().st_size)
