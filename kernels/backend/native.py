"""C++ on the CPU through ``tvtfast._C``, where the extension was built.

The extension knows nothing of torch: it takes addresses, sizes and strides. The files of the
operators check device, dtype and layout before an address is taken, allocate results, and keep the
tensors alive until the call returns.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

# torch comes first: its OpenMP runtime then serves the extension too.
import torch
from torch import Tensor

from ..dtypes import SUPPORTED_DTYPES

NAME = "native"
READABLE = (torch.float32, torch.float16, torch.bfloat16)
DTYPE_CODES = {dtype: SUPPORTED_DTYPES.index(dtype) for dtype in READABLE}
"""Codes of ``tvt::DType`` in ``csrc/dtype.h``."""
INSTRUCTION_SETS = ("avx512_bf16", "avx512", "avx2")
"""Of kernels written in vectors, in the order of ``tvt::VectorSet`` in ``csrc/vector_set.h``."""


@functools.cache
def _load() -> Any | str:
    try:
        return importlib.import_module("tvtfast._C")
    except ImportError as error:
        return str(error)


def extension() -> Any:
    """The module ``tvtfast._C``; call it only where :func:`missing` is empty."""
    return _load()


def missing() -> tuple[str, ...]:
    """Why there is no extension; empty where there is one."""
    loaded = _load()
    if isinstance(loaded, str):
        return (f"the C++ extension tvtfast._C is not installed ({loaded})",)
    return ()


def instruction_sets() -> tuple[str, ...]:
    """Those that the extension holds kernels for and this CPU runs, the fastest first."""
    return INSTRUCTION_SETS[extension().vector_set() :]


def vector_reasons() -> tuple[str, ...]:
    """Why no kernel that is written in vectors can serve."""
    absent = missing()
    if not absent and not instruction_sets():
        absent = ("it has no kernel here (allowed: built by GCC 12 or newer, on x86 with AVX2)",)
    return absent


def tensor_reasons(name: str, tensor: Tensor) -> tuple[str, ...]:
    """Why the extension cannot read ``tensor``."""
    reasons = []
    if tensor.device.type != "cpu":
        reasons.append(f"{name} is on {tensor.device} (allowed: cpu)")
    if tensor.dtype not in DTYPE_CODES:
        allowed = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPE_CODES)
        dtype = str(tensor.dtype).removeprefix("torch.")
        reasons.append(f"{name} is {dtype} (allowed: {allowed})")
    return tuple(reasons)


def product_reasons(x: Tensor) -> tuple[str, ...]:
    """Why no product with these rows should be made here."""
    found = vector_reasons() + tensor_reasons("x", x)
    if x.dtype == torch.bfloat16 and torch.cpu._is_amx_tile_supported():
        found += ("this CPU multiplies bf16 in tiles (AMX), which PyTorch's kernels use",)
    return found


def adjacent(rows: Tensor) -> Tensor:
    """Rows whose elements are adjacent: these, or a copy."""
    return rows if rows.stride(1) == 1 else rows.contiguous()


def build_info() -> dict[str, str | int] | None:
    """Compiler, instruction set and threads of the extension; None where it is not installed."""
    info: dict[str, str | int] | None = None if missing() else extension().build_info()
    return info
