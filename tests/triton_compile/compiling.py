"""What stands in for a GPU, and what compiled kernels are asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast.common.files import cache_dir
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS

if capability.missing():
    pytest.skip(capability.missing()[0], allow_module_level=True)
if capability.interpreting():
    pytest.skip(
        f"{capability.INTERPRETER_VARIABLE}=1: kernels are interpreted, not compiled",
        allow_module_level=True,
    )

import triton
from triton.backends.compiler import GPUTarget

from tvtfast.kernels.angle_distance import triton_kernels as angle_distance
from tvtfast.kernels.attention_block import triton_kernels as attention_block
from tvtfast.kernels.attention_jvp import triton_kernels as attention_jvp
from tvtfast.kernels.attention_map import triton_kernels as attention_map
from tvtfast.kernels.attention_map_backward import triton_kernels as attention_map_backward
from tvtfast.kernels.attention_map_distances import triton_kernels as attention_map_distances
from tvtfast.kernels.gram import triton_kernels as gram
from tvtfast.kernels.indexed import triton_kernels as indexed
from tvtfast.kernels.mlp_block import triton_kernels as mlp_block
from tvtfast.kernels.segment_norms import triton_kernels as segment_norms
from tvtfast.kernels.self_attention_stats import triton_kernels as self_attention_stats
from tvtfast.kernels.slice_norms import triton_kernels as slice_norms

from .limits import faults

STACKS = {"_span_kernel": 32, "_block_kernel": 72, "_attend_kernel": 144}
"""Bytes; some versions of ptxas keep a few addresses of fp32 products there for more occupancy, and
what an MLP or attention block needs before and after its loop (in the loop: `IN_LOOPS`)."""
STACKS_SM_100 = {**STACKS, "_block_kernel": 352}
IN_LOOPS = {(80, "_block_kernel"): 8, (80, "_attend_kernel"): 32}
"""Loads and stores of the stack in the loops of a kernel, which no other may have: registers of
sm_80 do not hold what the MLP block and the attention block keep at some widths."""
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
KERNELS = {
    attention_block: ("_project_kernel", "_attend_kernel"),
    attention_jvp: ("_dual_kernel",),
    attention_map: ("_map_kernel", "_normalise_kernel"),
    attention_map_backward: ("_weight_kernel", "_gradient_kernel"),
    attention_map_distances: ("_distance_kernel",),
    indexed: ("_fill_kernel",),
    mlp_block: ("_block_kernel",),
    segment_norms: ("_chunk_kernel", "_segment_kernel"),
    self_attention_stats: ("_row_kernel", "_column_kernel", "_mean_kernel"),
    gram: ("_span_kernel", "_sum_kernel"),
    angle_distance: ("_angle_kernel",),
    slice_norms: ("_tile_kernel", "_scan_kernel", "_lookup_kernel"),
}


class NoGpu:
    """What ``JITFunction.warmup`` asks of a driver; one device number per target, since compiled
    kernels are cached under it."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return int(self.target.arch)

    def get_current_stream(self, device: int | None = None) -> int:
        return 0


def arguments_of(operator: str, *arguments: Any) -> Any:
    """What a launch function takes."""
    return OPERATORS[operator].arguments(*arguments)


class Compiled(dict[str, list[Any]]):
    """Compiled kernels by name, in the order of their launches, whose grids are ``grids``."""

    def __init__(self) -> None:
        super().__init__()
        self.grids: dict[str, list[tuple[int, ...]]] = {}

    def ptx(self, kernel: str) -> str:
        (one,) = self[kernel]
        return str(one.asm["ptx"])


class CompileOnly:
    """A kernel whose launches compile."""

    def __init__(self, name: str, kernel: Any, compiled: Compiled) -> None:
        self.kernel = kernel
        self.launches = compiled.setdefault(name, [])
        self.grids = compiled.grids.setdefault(name, [])

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*arguments: Any, **options: Any) -> None:
            self.launches.append(self.kernel.warmup(*arguments, grid=grid, **options))
            self.grids.append(grid)

        return launch


@contextmanager
def launches_compile(
    architecture: int, kernels: dict[Any, tuple[str, ...]] = KERNELS
) -> Iterator[Compiled]:
    """Launches of these kernels compile for one architecture; at the end, all must fit it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        # Triton's key holds source, target and options: what was compiled is only read again.
        monkeypatch.setenv("TRITON_CACHE_DIR", str(cache_dir() / "triton"))
        monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
        stub = NoGpu(GPUTarget("cuda", architecture, 32))
        monkeypatch.setattr(triton.runtime.driver, "_active", stub)
        compiled = Compiled()
        for module, names in kernels.items():
            for name in names:
                kernel = CompileOnly(name, getattr(module, name), compiled)
                monkeypatch.setattr(module, name, kernel)
        yield compiled
    stacks = STACKS_SM_100 if architecture == 100 else STACKS
    for name, launches in compiled.items():
        for kernel, grid in zip(launches, compiled.grids[name], strict=True):
            in_loops = IN_LOOPS.get((architecture, name), 0)
            found = faults(kernel, grid, architecture, stacks.get(name, 0), in_loops)
            assert not found, f"{name} for sm_{architecture}: {'; '.join(found)}"


def vector_loads(ptx: str) -> int:
    """Loads of 16 bytes: four words, or two double words."""
    return len(re.findall(r"ld\.global\S*\.(?:v4\.[bf]32|v2\.[bf]64)", ptx))


def features(dtype: torch.dtype, layout: str, grid: int, channels: int) -> Tensor:
    if layout == "tokens":
        tokens = torch.empty(2, 1 + grid * grid, channels, dtype=dtype)
        return tokens[:, 1:].view(2, grid, grid, channels)
    return torch.empty(2, channels, grid, grid, dtype=dtype).permute(0, 2, 3, 1)
