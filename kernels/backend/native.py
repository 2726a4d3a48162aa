"""C++ on the CPU through ``tvtfast._C``, where the extension was built.

The extension knows nothing of torch: it takes addresses, sizes and strides. The files of the
operators check device, dtype and layout before an address is taken, allocate results, and keep the
tensors alive until the call returns.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

# torch comes first: its OpenMP runtime then serves the extension too.
import torch
from torch import Tensor

from ..dtypes import SUPPORTED_DTYPES

NAME = "native"
READABLE = (torch.float32, torch.float16, torch.bfloat16)
DTYPE_CODES = {dtype: SUPPORTED_DTYPES.index(dtype) for dtype in READABLE}
"""Codes of ``tvt::DType`` in ``csrc/dtype.h``."""
WORTH_PACKING = {
    torch.float32: (2**15, 2**16, 2**19),
    torch.float16: (2**17,),
    torch.bfloat16: (2**19,) * 7 + (2**21,) * 17,
}
"""Values of a weight up to which packing it pays for one row, for two, and so on; for more rows it
always does. ``python -m bench.dispatch`` holds it."""
WORTH_FUSING = 4
"""How many times as many they are where a norm or an activation is fused."""
INSTRUCTION_SETS = ("amx_bf16", "avx512_bf16", "avx512", "avx2")
"""Of kernels written in vectors, in the order of ``tvt::VectorSet`` in ``csrc/vector_set.h``."""
TILES = INSTRUCTION_SETS[0]
"""Multiplies bf16 in tiles; all else as the next."""

INSTRUCTION_SET_VARIABLE = "TVTFAST_INSTRUCTION_SET"


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
    """Those that the extension holds kernels for and this CPU runs, the fastest first.

    ``TVTFAST_INSTRUCTION_SET`` leaves out those before the one that it names; where the CPU does
    not run that one, it is an error.
    """
    return _instruction_sets(extension(), os.environ.get(INSTRUCTION_SET_VARIABLE))


@functools.cache
def _instruction_sets(extension: Any, named: str | None) -> tuple[str, ...]:
    if named is None:
        return INSTRUCTION_SETS[extension.vector_set(0) :]
    if named not in INSTRUCTION_SETS:
        raise ValueError(
            f"{INSTRUCTION_SET_VARIABLE}: instruction set {named!r} is unknown; known are"
            f" {', '.join(INSTRUCTION_SETS)}"
        )
    first = INSTRUCTION_SETS.index(named)
    found = INSTRUCTION_SETS[extension.vector_set(first) :]
    if named not in found:
        raise ValueError(
            f"{INSTRUCTION_SET_VARIABLE}: this CPU, its operating system or the build of tvtfast._C"
            f" has no {named} (allowed: {', '.join(found) or 'none'}). Unset the variable, or name"
            " one of these."
        )
    return found


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


def product_reasons(name: str, tensor: Tensor) -> tuple[str, ...]:
    """Why no product of what ``tensor`` holds should be made here."""
    found = vector_reasons() + tensor_reasons(name, tensor)
    if (
        tensor.dtype == torch.bfloat16
        and torch.cpu._is_amx_tile_supported()
        and not found
        and TILES not in instruction_sets()
    ):
        found += (
            "this CPU multiplies bf16 in tiles (AMX), which PyTorch uses and tvtfast._C does not:"
            f" {INSTRUCTION_SET_VARIABLE} leaves them out, or the operating system refused them",
        )
    return found


def packing_reasons(x: Tensor, weight: Tensor, fused: bool) -> tuple[str, ...]:
    """Why the rows are too few to pack a weight for them: PyTorch reads it once and packs nothing.

    ``fused``: a norm or an activation goes with the product, which PyTorch makes calls for.
    """
    rows = len(x)
    limits = WORTH_PACKING.get(x.dtype, ())
    if not 0 < rows <= len(limits):
        return ()
    limit = limits[rows - 1] * (WORTH_FUSING if fused else 1)
    if weight.numel() <= limit:
        return ()
    return (
        f"packing a weight of {weight.numel()} values takes longer than {rows} rows are worth"
        f" (allowed: up to {limit} values, or more than {len(limits)} rows)",
    )


def adjacent(rows: Tensor) -> Tensor:
    """Rows whose elements are adjacent: these, or a copy."""
    return rows if rows.stride(1) == 1 else rows.contiguous()


def build_info() -> dict[str, str | int] | None:
    """Compiler, instruction sets and threads of the extension; None where it is not installed.

    ``instruction_set`` is that of plain loops, ``vectors`` that of kernels written in vectors.
    """
    if missing():
        return None
    info: dict[str, str | int] = extension().build_info()
    return info | {"vectors": next(iter(instruction_sets()), "none")}
