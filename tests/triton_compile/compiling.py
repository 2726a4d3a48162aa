"""What stands in for a GPU, and what compiled kernels are asked."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

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

SHARED_LIMITS = {80: 163 * 1024, 90: 227 * 1024}
STACKS = {"_span_kernel": 32, "_block_kernel": 72, "_attend_kernel": 144}
"""Bytes; some versions of ptxas keep a few addresses of fp32 products there for more occupancy, and
what an MLP or attention block needs before and after its loop (in the loop, nothing)."""
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
    """Compiled kernels by name, in the order of their launches."""

    def ptx(self, kernel: str) -> str:
        (one,) = self[kernel]
        return str(one.asm["ptx"])


class CompileOnly:
    """A kernel whose launches compile."""

    def __init__(self, kernel: Any, launches: list[Any]) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*arguments: Any, **options: Any) -> None:
            self.launches.append(self.kernel.warmup(*arguments, grid=grid, **options))

        return launch


def usage(cubin: bytes) -> dict[str, int]:
    """Registers, stack and static shared memory; a stack means spills."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        text = subprocess.run(
            [tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK|SHARED):(\d+)", text)}


def vector_loads(ptx: str) -> int:
    """Loads of 16 bytes: four words, or two double words."""
    return len(re.findall(r"ld\.global\S*\.(?:v4\.[bf]32|v2\.[bf]64)", ptx))


def spills_in_loop(cubin: bytes) -> list[str]:
    """What is moved to the stack and back between the first and the last matrix product."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool, "--dump-sass", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\b(HG?MMA|STL|LDL)\b", text)
    products = [place for place, name in enumerate(found) if name.endswith("MMA")]
    return [name for name in found[products[0] : products[-1]] if not name.endswith("MMA")]


def features(dtype: torch.dtype, layout: str, grid: int, channels: int) -> Tensor:
    if layout == "tokens":
        tokens = torch.empty(2, 1 + grid * grid, channels, dtype=dtype)
        return tokens[:, 1:].view(2, grid, grid, channels)
    return torch.empty(2, channels, grid, grid, dtype=dtype).permute(0, 2, 3, 1)
