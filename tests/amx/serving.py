"""``backend="native"`` from the kernels for AMX alone, in a process of tests."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import pytest

from tvtfast.kernels.backend import native


class Tiles:
    """What tests ask of the tiles in software."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.emulated_error.restype = ctypes.c_char_p
        self.library.emulated_products.restype = ctypes.c_int64

    def plant(self, fault: int) -> None:
        """Let a planted fault be at work; -1 for none."""
        self.library.emulated_fault(fault)

    def products(self) -> int:
        """Products of tiles since this was asked last."""
        return int(self.library.emulated_products())

    def check(self) -> None:
        """Tiles were used as a CPU allows, and none is held any more."""
        error = self.library.emulated_error()
        assert error is None, error.decode()
        assert self.library.emulated_configured() == 0, "tiles are still configured"


def serve(patch: pytest.MonkeyPatch, library: Path) -> Tiles:
    """Serve the backend from an emulated extension until ``patch`` is undone."""
    # pybind11 keeps modules by name; under that of the real extension there may be one already.
    spec = importlib.util.spec_from_file_location(f"emulated_{library.stem}._C", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patch.setattr(native, "_load", lambda: module)
    patch.delenv(native.INSTRUCTION_SET_VARIABLE, raising=False)
    return Tiles(library)
