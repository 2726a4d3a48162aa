"""Every Triton kernel compiled for real GPUs, on a machine without one.

A stub stands in for the driver: launchers run as they would, but every launch only compiles, and
what would have been launched is inspected: registers, stack, shared memory, PTX.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tvtfast.common.files import cache_dir
from tvtfast.kernels import pack_segments, pack_slices
from tvtfast.kernels.backend import triton as capability
from tvtfast.kernels.dispatch import OPERATORS
from tvtfast.kernels.self_attention_stats.definition import STATISTICS
from tvtfast.kernels.slice_norms.definition import Prepared

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


@pytest.fixture(params=(pytest.param(80, marks=pytest.mark.slow), 90))
def compiled(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> Iterator[Compiled]:
    """Launches that compile for one target; at the end, all must fit the device."""
    # Triton's key holds source, target and options: what was compiled before is only read again.
    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache_dir() / "triton"))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    stub = NoGpu(GPUTarget("cuda", request.param, 32))
    monkeypatch.setattr(triton.runtime.driver, "_active", stub)
    launches = Compiled()
    for module, names in KERNELS.items():
        for name in names:
            kernel = getattr(module, name)
            launches[name] = []
            monkeypatch.setattr(module, name, CompileOnly(kernel, launches[name]))
    yield launches
    for name, kernels in launches.items():
        for kernel in kernels:
            assert usage(kernel.asm["cubin"])["STACK"] <= STACKS.get(name, 0), f"{name} spills"
            assert kernel.metadata.shared <= SHARED_LIMITS[request.param], name


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


def features(dtype: torch.dtype, layout: str, grid: int, channels: int) -> Tensor:
    if layout == "tokens":
        tokens = torch.empty(2, 1 + grid * grid, channels, dtype=dtype)
        return tokens[:, 1:].view(2, grid, grid, channels)
    return torch.empty(2, channels, grid, grid, dtype=dtype).permute(0, 2, 3, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize("grid", (14, 56))
def test_attention_map(compiled: Compiled, dtype: torch.dtype, layout: str, grid: int) -> None:
    x = features(dtype, layout, grid, 216)
    teacher = torch.empty(1, grid * grid)
    _, values, norm = attention_map.distance(
        arguments_of("attention_map_distance", x, teacher, (grid, grid))
    )
    attention_map_backward.backward(
        arguments_of("attention_map_backward", x, values, norm, values, (grid, grid))
    )
    # Positions of NCHW features need not be a whole number of vectors.
    if layout == "tokens" or grid * grid * dtype.itemsize % 16 == 0:
        assert vector_loads(compiled.ptx("_map_kernel"))
        assert vector_loads(compiled.ptx("_gradient_kernel"))
    assert len(compiled["_normalise_kernel"]) == (grid * grid > attention_map.ONE_PROGRAM)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize(("grid", "size"), [(8, 14), (8, 32)])
def test_resized_attention_map(
    compiled: Compiled, dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    x = features(dtype, layout, grid, 216)
    values, norm = attention_map.forward(arguments_of("attention_map", x, (size, size)))
    attention_map_backward.backward(
        arguments_of("attention_map_backward", x, values, norm, values, (size, size))
    )
    if layout == "tokens":
        # The tile of many positions has four channels: 16 bytes in fp32 alone.
        assert vector_loads(compiled.ptx("_map_kernel")) or size == 32
        assert vector_loads(compiled.ptx("_gradient_kernel"))


def test_attention_map_of_one_channel(compiled: Compiled) -> None:
    x = features(torch.bfloat16, "tokens", 14, 1)
    for size in ((14, 14), (9, 9)):
        values, norm = attention_map.forward(arguments_of("attention_map", x, size))
        attention_map_backward.backward(
            arguments_of("attention_map_backward", x, values, norm, values, size)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ("tokens", "features"))
@pytest.mark.parametrize(("grid", "size"), [(14, 14), (8, 14)])
def test_attention_map_distances(
    compiled: Compiled, dtype: torch.dtype, layout: str, grid: int, size: int
) -> None:
    """One launch for all widths, whose sums are laid out, and so rounded, as in the dense form."""
    xs = [features(dtype, layout, grid, channels) for channels in (192, 216, 240)]
    teacher = torch.empty(1, size * size)
    attention_map_distances.distances(
        arguments_of("attention_map_distances", xs, teacher, (size, size))
    )
    attention_map.distance(arguments_of("attention_map_distance", xs[1], teacher, (size, size)))
    if layout == "tokens":
        assert vector_loads(compiled.ptx("_distance_kernel"))
    (ragged,), (dense,) = compiled["_distance_kernel"], compiled["_map_kernel"]
    assert reductions(ragged) == reductions(dense)


def reductions(kernel: Any) -> list[str]:
    """Shape and layout of whatever is summed, in order."""
    text = kernel.asm["ttgir"]
    layouts = dict(re.findall(r"^(#\w+) = (#ttg\.\w+<.*>)$", text, re.MULTILINE))
    summed = re.findall(r"tt\.reduce.*?\}\) : \(tensor<(.*?)>\) ->", text, re.DOTALL)
    assert summed
    return [re.sub(r"#\w+", lambda name: layouts.get(name[0], name[0]), one) for one in summed]


@pytest.mark.parametrize("dtype", DTYPES)
def test_segment_norms(compiled: Compiled, dtype: torch.dtype) -> None:
    tensors = [torch.empty(100, dtype=dtype), torch.empty(100, dtype=dtype)[1:]]
    segment_norms.norms(arguments_of("segment_norms", pack_segments(tensors)))
    aligned, other = compiled["_chunk_kernel"]
    assert vector_loads(aligned.asm["ptx"]) and not vector_loads(other.asm["ptx"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_slice_norms(compiled: Compiled, dtype: torch.dtype) -> None:
    weight = torch.empty(640, 640, dtype=dtype)
    slice_norms.norms(Prepared(weight, pack_slices([[192, 216], [640, 640]])))
    assert vector_loads(compiled.ptx("_tile_kernel"))
    slice_norms.norms(Prepared(weight.t(), pack_slices([[3, 5]])))
    assert len({kernel.hash for kernel in compiled["_scan_kernel"]}) == 1


@pytest.mark.parametrize("fill", (indexed.normal_, indexed.uniform_))
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((5, 3), torch.float32), *(((640, 216), dtype) for dtype in (*DTYPES, torch.float64))],
)
def test_indexed(compiled: Compiled, dtype: torch.dtype, fill: Any, shape: tuple[int, ...]) -> None:
    call = arguments_of(f"indexed_{fill.__name__}", torch.empty(shape, dtype=dtype), -5, 0.5, 2.0)
    fill(call)
    (kernel,) = compiled["_fill_kernel"]
    ptx = kernel.asm["ptx"]
    assert not re.search(r"\bfma\.", ptx) and not kernel.metadata.enable_fp_fusion
    assert "sqrt.approx" not in ptx
    assert ("sqrt.rn.f32" in ptx) == (fill is indexed.normal_)
    if len(shape) > 1 and shape[-1] % 8 == 0:
        assert re.search(r"st\.global\S*\.(?:v4\.b32|v2\.b64)", ptx)


def gram_operands(dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Samples and channels of ViT-Ti tokens, and channels of a ConvNet's feature map."""
    tokens = torch.empty(4, 197, 216, dtype=dtype)[:, 1:]
    teacher = torch.empty(4, 64, 196, dtype=dtype)
    return {
        "few samples": (torch.empty(1, 17, 42336, dtype=dtype), None),
        "samples": (torch.empty(1, 64, 42336, dtype=dtype), None),
        "many samples": (torch.empty(1, 128, 42336, dtype=dtype), None),
        "channels": (tokens.mT, None),
        "both": (tokens.mT, teacher),
        "anywhere": (torch.empty(1, 9, 401, dtype=dtype)[:, :, 1:], None),
    }


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("operands", gram_operands(torch.float32))
@pytest.mark.parametrize("relative", (False, True))
def test_gram(compiled: Compiled, dtype: torch.dtype, operands: str, relative: bool) -> None:
    x, y = gram_operands(dtype)[operands]
    if y is not None and relative:
        pytest.skip("relative rows are those of one operand")
    gram.forward(arguments_of("gram", x, y, relative))
    ptx = compiled.ptx("_span_kernel")
    on_tensor_cores = "mma" in ptx
    assert on_tensor_cores == (dtype != torch.float32 and not relative) and "tf32" not in ptx
    if operands != "anywhere":
        assert re.search(r"cp\.async\.cg\S* .*0x10\b", ptx) or vector_loads(ptx)


def test_angle_distance(compiled: Compiled) -> None:
    for samples in (17, 128):
        angle_distance.forward(
            arguments_of(
                "angle_distance", torch.empty(2, samples, samples), torch.empty(1, samples, samples)
            )
        )
    assert len({kernel.hash for kernel in compiled["_angle_kernel"]}) == 1


def test_keys_share_one_kernel(compiled: Compiled) -> None:
    for key in (1, 16, -(2**63), 2**40):
        indexed.normal_(arguments_of("indexed_normal_", torch.empty(8, 8), key, 0.0, 1.0))
    assert len({kernel.hash for kernel in compiled["_fill_kernel"]}) == 1


def test_widths_share_one_kernel(compiled: Compiled) -> None:
    """Candidates differ in width; every new width must not cost a compilation."""
    for channels in (192, 216, 240, 256):
        attention_map.forward(
            arguments_of(
                "attention_map", features(torch.bfloat16, "tokens", 14, channels), (14, 14)
            )
        )
        gram.forward(
            arguments_of(
                "gram", torch.empty(1, 32, 196 * channels, dtype=torch.bfloat16), None, False
            )
        )
    for name in ("_map_kernel", "_span_kernel"):
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name


def queries_and_keys(
    dtype: torch.dtype, tokens: int, channels: int, heads: int = 3
) -> tuple[Tensor, ...]:
    """Views into a fused projection."""
    qkv = torch.empty(2, tokens, 3, heads, channels, dtype=dtype)
    q, k, _ = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return q, k


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("tokens", "channels"), [(7, 64), (50, 48), (197, 80), (577, 256)])
def test_self_attention_stats(
    compiled: Compiled, dtype: torch.dtype, tokens: int, channels: int
) -> None:
    q, k = queries_and_keys(dtype, tokens, channels)
    teacher = torch.empty(2, tokens)
    self_attention_stats.stats(
        arguments_of("self_attention_stats", q, k, teacher, 0.125, STATISTICS)
    )
    for name in KERNELS[self_attention_stats]:
        ptx = compiled.ptx(name)
        assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
        assert re.search(r"cp\.async\.cg|ld\.global\S*\.v4\.b32", ptx), "no 16-byte accesses"


def test_self_attention_stats_of_odd_strides(compiled: Compiled) -> None:
    q, k = queries_and_keys(torch.float32, 50, 65)
    self_attention_stats.stats(
        arguments_of("self_attention_stats", q[..., 1:], k[..., :-1], None, 0.125, ["class_row"])
    )
    assert not compiled["_mean_kernel"]


def test_numbers_of_tokens_and_heads_share_one_kernel(compiled: Compiled) -> None:
    for tokens in (65, 197, 208):
        for heads in (1, 3, 16):
            q, k = queries_and_keys(torch.bfloat16, tokens, 64, heads)
            self_attention_stats.stats(
                arguments_of("self_attention_stats", q, k, None, 0.125, STATISTICS)
            )
    for name in KERNELS[self_attention_stats]:
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name


def dual_operands(dtype: torch.dtype, tokens: int, channels: int, heads: int = 3) -> list[Tensor]:
    """Views into a fused projection and its tangent."""
    both = torch.empty(2, 2, tokens, 3, heads, channels, dtype=dtype)
    return list(both.permute(0, 3, 1, 4, 2, 5).flatten(0, 1).unbind(0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("tokens", "channels"), [(7, 64), (784, 8), (49, 16), (197, 80), (196, 128)]
)
def test_attention_jvp(compiled: Compiled, dtype: torch.dtype, tokens: int, channels: int) -> None:
    attention_jvp.forward(
        arguments_of("attention_jvp", *dual_operands(dtype, tokens, channels), 0.125)
    )
    ptx = compiled.ptx("_dual_kernel")
    assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
    assert re.search(r"cp\.async\.cg|ld\.global\S*\.v4\.b32", ptx), "no 16-byte accesses"


def test_windows_and_heads_share_one_dual_kernel(compiled: Compiled) -> None:
    for tokens in (65, 196, 784):
        for heads in (1, 4):
            attention_jvp.forward(
                arguments_of(
                    "attention_jvp", *dual_operands(torch.bfloat16, tokens, 8, heads), 0.35
                )
            )
    assert len({kernel.hash for kernel in compiled["_dual_kernel"]}) == 1


def block_operands(
    dtype: torch.dtype, channels: int, hidden: tuple[int, ...], biases: bool
) -> tuple[Any, ...]:
    """Arguments of the launcher, for a batch of candidates."""
    x = torch.empty(197, channels, dtype=dtype)
    w1 = torch.empty(hidden[-1], channels, dtype=dtype)
    b1, b2 = (w1[:, 0], x[0]) if biases else (None, None)
    out = torch.empty(len(hidden), *x.shape, dtype=dtype)
    return x, w1, b1, w1.t().contiguous(), b2, hidden, 1e-6, out


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


@pytest.mark.parametrize(
    ("dtype", "channels", "hidden", "biases"),
    [
        (torch.bfloat16, 192, (672, 768), False),
        (torch.bfloat16, 216, (756,), False),
        (torch.float16, 256, (512, 1024), True),
        (torch.bfloat16, 48, (96, 144, 192), True),
    ],
)
def test_mlp_block(
    compiled: Compiled, dtype: torch.dtype, channels: int, hidden: tuple[int, ...], biases: bool
) -> None:
    mlp_block.write(arguments_of("mlp_block", *block_operands(dtype, channels, hidden, biases)))
    (kernel,) = compiled["_block_kernel"]
    ptx = kernel.asm["ptx"]
    assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
    whole_vectors = all(width % 8 == 0 for width in hidden)
    copies = r"cp\.async\.cg\S* .*0x10\b" if whole_vectors else r"cp\.async\.ca\S* .*0x8\b"
    assert re.search(copies, ptx), "weights are not copied in the background"
    assert spills_in_loop(kernel.asm["cubin"]) == []


def test_widths_share_one_block_kernel(compiled: Compiled) -> None:
    for channels in (192, 216, 240, 256):
        for hidden in ((4 * channels,), (3 * channels, 4 * channels)):
            mlp_block.write(
                arguments_of("mlp_block", *block_operands(torch.bfloat16, channels, hidden, False))
            )
    assert len({kernel.hash for kernel in compiled["_block_kernel"]}) == 1


def attention_operands(
    dtype: torch.dtype, channels: int, dim: int, heads: tuple[int, ...], biases: bool
) -> tuple[Any, ...]:
    """Arguments of the launcher, for two images of a candidate."""
    inner = heads[-1] * dim
    x = torch.empty(2, 197, channels, dtype=dtype)
    w_qkv = torch.empty(3 * inner, channels, dtype=dtype)
    w_proj = torch.empty(channels, inner, dtype=dtype)
    b_qkv, b_proj = (w_qkv[:, 0], w_proj[:, 0]) if biases else (None, None)
    out = torch.empty(len(heads), *x.shape, dtype=dtype)
    return x, w_qkv, b_qkv, w_proj, b_proj, heads, 1e-6, out


@pytest.mark.parametrize(
    ("dtype", "channels", "dim", "heads", "biases"),
    [
        (torch.bfloat16, 192, 64, (3,), False),
        (torch.bfloat16, 216, 54, (4,), False),
        (torch.bfloat16, 240, 80, (3,), False),
        (torch.float16, 256, 80, (1, 2), True),
        (torch.bfloat16, 48, 8, (2, 4, 6), True),
    ],
)
def test_attention_block(
    compiled: Compiled,
    dtype: torch.dtype,
    channels: int,
    dim: int,
    heads: tuple[int, ...],
    biases: bool,
) -> None:
    attention_block.write(
        arguments_of("attention_block", *attention_operands(dtype, channels, dim, heads, biases))
    )
    for name in KERNELS[attention_block]:
        (kernel,) = compiled[name]
        ptx = kernel.asm["ptx"]
        assert re.search(r"\b(?:mma|wgmma\.mma_async)\.sync\.", ptx), "no tensor cores"
        whole_vectors = dim % 8 == 0 or name == "_project_kernel"
        copies = r"cp\.async\.cg\S* .*0x10\b" if whole_vectors else r"cp\.async\.ca\S* .*0x4\b"
        if dim >= 48:  # smaller tiles have fewer bytes than threads
            assert re.search(copies, ptx), "nothing is copied in the background"
        assert spills_in_loop(kernel.asm["cubin"]) == []


def test_widths_share_attention_kernels(compiled: Compiled) -> None:
    for channels, dim, heads in ((192, 64, (3,)), (216, 64, (3, 4)), (240, 48, (4,))):
        arguments = attention_operands(torch.bfloat16, channels, dim, heads, False)
        attention_block.write(arguments_of("attention_block", *arguments))
    for name in KERNELS[attention_block]:
        assert len({kernel.hash for kernel in compiled[name]}) == 1, name
