"""The compile test can fail: mutants of kernels, and code that is read."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from . import limits
from .compiling import (
    KERNELS,
    arguments_of,
    launches_compile,
    mlp_block,
    self_attention_stats,
)
from .test_every_kernel import empty

MUTANTS = {
    "plain TF32": (self_attention_stats, ', input_precision="tf32x3"', ""),
    "stages": (mlp_block, "STAGES = 2", "STAGES = 8"),
    "warps": (mlp_block, "WARPS = 8", "WARPS = 4"),
}
SAID = {
    "plain TF32": "_row_kernel for sm_90: dot of fp32 in plain TF32",
    "stages": "_block_kernel for sm_90: .* bytes of shared memory",
    "warps": "_block_kernel for sm_90: .*local memory in a loop: ",
}


@pytest.fixture
def mutant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    """A module of kernels with one text in place of another, in the package of the original."""
    module, old, new = MUTANTS[request.param]
    text = Path(module.__file__ or "").read_text()
    assert old in text
    path = tmp_path / "mutant_kernels.py"
    path.write_text(text.replace(old, new))
    name = f"{module.__package__}.mutant_kernels"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    found = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    yield found
    del sys.modules[name]


@pytest.mark.parametrize("mutant", ["plain TF32"], indirect=True)
def test_plain_tf32_is_found(mutant: ModuleType) -> None:
    """Heads of 16 channels or fewer are multiplied at once."""
    q, k = empty(2, 1, 1, 7, 16, dtype=torch.float32).unbind(0)
    call = arguments_of("self_attention_stats", q, k, None, 0.25, ["row_entropy"])
    with (
        pytest.raises(AssertionError, match=SAID["plain TF32"]),
        launches_compile(90, {mutant: KERNELS[self_attention_stats]}),
    ):
        mutant.stats(call)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "said"),
    [(name, SAID[name]) for name in ("stages", "warps")],
    indirect=["mutant"],
)
def test_what_does_not_fit_is_found(mutant: ModuleType, said: str) -> None:
    x, w1 = empty(197, 256, dtype=torch.bfloat16), empty(1024, 256, dtype=torch.bfloat16)
    w2, out = empty(256, 1024, dtype=torch.bfloat16), empty(1, 197, 256, dtype=torch.bfloat16)
    call = arguments_of("mlp_block", x, w1, None, w2, None, (1024,), 1e-6, out)
    with (
        pytest.raises(AssertionError, match=said),
        launches_compile(90, {mutant: KERNELS[mlp_block]}),
    ):
        mutant.write(call)


def kernel(ptx: str = "", shared: int = 0, warps: int = 4) -> Any:
    return SimpleNamespace(
        asm={"ttir": "", "ptx": ptx, "cubin": b""},
        metadata=SimpleNamespace(shared=shared, num_warps=warps),
    )


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the binary is said to use."""
    counts = {"REG": 64, "STACK": 0, "SHARED": 0, "LOCAL": 0}
    monkeypatch.setattr(limits, "usage", lambda cubin: counts)
    return counts


def test_limits_of_a_device(used: dict[str, int]) -> None:
    assert limits.faults(kernel(shared=163 * 1024), (2**31 - 1, 65_535, 65_535), 80) == []
    assert limits.faults(kernel(shared=163 * 1024 + 1), (1,), 80) != []
    assert limits.faults(kernel(shared=163 * 1024 + 1), (1,), 90) == []
    assert limits.faults(kernel(), (1, 65_536), 90) == ["65536 programs along y"]
    assert limits.faults(kernel(), (2**31, 1, 65_536), 90) == [
        f"{2**31} programs along x",
        "65536 programs along z",
    ]
    used["REG"] = 255
    assert limits.faults(kernel(warps=8), (1,), 90) == []
    assert limits.faults(kernel(warps=9), (1,), 90) == ["255 registers in 9 warps"]
    for atomic in ("atom.global.add.f32 %f1, [%rd1], %f2;", "red.global.add.f32 [%rd1], %f1;"):
        assert len(limits.faults(kernel(ptx=f"\t{atomic}"), (1,), 90)) == 1
    assert limits.faults(kernel(ptx="\tredux.sync.add.s32 %r1, %r2, %r3;"), (1,), 90) == []
    used["LOCAL"] = 8
    assert limits.faults(kernel(), (1,), 90) == ["0 bytes of stack"]


DOT = (
    "%s = tt.dot %a, %b, %c{} : tensor<16x16xf32> * tensor<16x16xf32> -> tensor<16x16xf32> loc(#l)"
)
HALF = DOT.replace("16xf32> *", "16xbf16> *").replace("* tensor<16x16xf32>", "* tensor<16x16xbf16>")


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (DOT.format(", inputPrecision = tf32"), 1),
        (DOT.format(", inputPrecision = tf32 {loop.stage = 1 : i32}"), 1),
        (DOT.format(", inputPrecision = tf32x3"), 0),
        (DOT.format(""), 0),
        (HALF.format(", inputPrecision = tf32"), 0),
    ],
)
def test_dots_are_read(line: str, count: int) -> None:
    assert len(limits.plain_tf32(f"  %x = tt.load %y\n  {line}\n")) == count


def test_a_dot_of_another_form_is_no_silence() -> None:
    with pytest.raises(AssertionError, match="does not know"):
        limits.plain_tf32("  %s = tt.dot %a, %b, %c : (f32, f32) -> f32")


def code(*lines: str) -> str:
    """Instructions at 0x0000, 0x0010, ..., as cuobjdump writes them."""
    return "\n".join(
        f"        /*{16 * at:04x}*/   {line} ;   /* 0x0 */" for at, line in enumerate(lines)
    )


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        # before and after a loop, and in a loop around it, which runs a few times
        (("STL [R1], R2", "HMMA R1", "@P0 BRA 0x10", "LDL R2, [R1]", "EXIT"), 0),
        (("STL [R1], R2", "HMMA R1", "@P0 BRA 0x10", "LDL R2, [R1]", "@P1 BRA 0x0", "EXIT"), 0),
        (("LDG.E R1, [R2]", "LDL R2, [R1]", "STL [R1], R2", "@P0 BRA 0x0", "EXIT"), 2),
        # a loop that waits for a barrier is not the innermost one
        (("HMMA R1", "SYNCS R1", "@!P0 BRA 0x10", "LDL R2, [R1]", "@P0 BRA 0x0", "EXIT"), 1),
        # a way that lies behind the code, and comes back, is no loop
        (("HMMA R1", "@P0 BRA 0x50", "LDL R2, [R1]", "LDG R1", "EXIT", "NOP", "BRA 0x20"), 0),
    ],
)
def test_local_memory_is_found_in_loops(lines: tuple[str, ...], found: int) -> None:
    assert len(limits.spills(code(*lines))) == found
