"""What every compiled kernel is held to before a device has run it.

Dots are read in Triton's intermediate code, where their precision still stands; what a device has
to hold is read in the binary.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import networkx
import triton

SHARED_LIMITS = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}
"""Bytes of shared memory that a block can have, by architecture."""
REGISTERS = 64 * 1024
"""Of 32 bits, of a multiprocessor."""
MOST_PROGRAMS = (2**31 - 1, 65_535, 65_535)
"""Along every axis of a grid."""
WARP = 32
TOOL = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
WORK = re.compile(r"\b(?:LDG|LDGSTS|UTMALDG|\w*MMA|LDS|LDSM|STS|STG)\b")
"""What tells a loop over data from one that waits for a barrier."""


def faults(
    kernel: Any, grid: Sequence[int], architecture: int, stack: int = 0, in_loops: int = 0
) -> list[str]:
    """What is wrong with a compiled kernel and its launch.

    Args:
        kernel: As Triton compiled it.
        grid: Programs of its launch.
        architecture: 90 for sm_90.
        stack: Bytes of local memory that it may have.
        in_loops: Instructions of its loops that may use it.
    """
    found = [f"dot of fp32 in plain TF32: {line}" for line in plain_tf32(kernel.asm["ttir"])]
    used, warps = usage(kernel.asm["cubin"]), kernel.metadata.num_warps
    if kernel.metadata.shared > SHARED_LIMITS[architecture]:
        found.append(f"{kernel.metadata.shared} bytes of shared memory")
    if used["REG"] * warps * WARP > REGISTERS:
        found.append(f"{used['REG']} registers in {warps} warps")
    if used["STACK"] > stack or used["LOCAL"]:
        found.append(f"{used['STACK']} bytes of stack")
    if re.search(r"\b(?:atom|red)\.", kernel.asm["ptx"]):
        found.append("an atomic operation, whose order is not fixed")
    if used["STACK"]:
        used_in_loops = spills(disassembly(kernel))
        if len(used_in_loops) > in_loops:
            found += [f"local memory in a loop: {one}" for one in used_in_loops]
    found += [
        f"{programs} programs along {axis}"
        for axis, programs, most in zip("xyz", grid, MOST_PROGRAMS, strict=False)
        if programs > most
    ]
    return found


def plain_tf32(ttir: str) -> list[str]:
    """Dots of fp32 operands that are rounded to TF32, once each."""
    dots = [line.strip() for line in ttir.splitlines() if re.search(r"= tt\.dot\b", line)]
    form = r" : tensor<(?:\d+x)+(\w+)(?:, #\w+)?> \* tensor<(?:\d+x)+(\w+)(?:, #\w+)?> -> "
    found = []
    for line in dots:
        types = re.search(form, line)
        assert types is not None, f"a dot in a form that this test does not know: {line}"
        if "f32" in types.groups() and re.search(r"\binputPrecision = tf32\b", line):
            found.append(line)
    return found


def usage(cubin: bytes) -> dict[str, int]:
    """Registers of a thread; its stack, local and static shared memory in bytes."""
    text = _read("--dump-resource-usage", cubin)
    return {
        name: int(value) for name, value in re.findall(r"\b(REG|STACK|SHARED|LOCAL):(\d+)", text)
    }


def disassembly(kernel: Any) -> str:
    """Instructions of a compiled kernel and their addresses."""
    return _read("--dump-sass", kernel.asm["cubin"])


def spills(sass: str) -> list[str]:
    """Accesses to local memory in the innermost loops that do work."""
    lines = re.findall(r"/\*([0-9a-f]{4,})\*/\s+([^;/]+);", sass)
    code = {int(address, 16): text.strip() for address, text in lines}
    working = [loop for loop in loops(code) if any(WORK.search(code[at]) for at in loop)]
    innermost = [loop for loop in working if not any(other < loop for other in working)]
    inside = sorted(set().union(*innermost))
    return [code[at] for at in inside if re.search(r"\b(?:STL|LDL)\b", code[at])]


def loops(code: dict[int, str]) -> list[set[int]]:
    """Addresses of the instructions of every natural loop: what can reach a jump back to an
    instruction that all ways to the jump lead through."""
    graph = networkx.DiGraph()
    addresses = sorted(code)
    for at, following in zip(addresses, [*addresses[1:], None], strict=True):
        jump = re.search(r"\bBRA\b.*?(0x[0-9a-f]+)$", code[at])
        if jump:
            graph.add_edge(at, int(jump[1], 16))
        ends = re.match(r"(?:BRA(?!\.U)|EXIT|RET)\b", code[at])  # with no condition before it
        if following is not None and not ends:
            graph.add_edge(at, following)
    dominator = networkx.immediate_dominators(graph, addresses[0])
    found = []
    for source, head in graph.edges:
        if head <= source and source in dominator and head in _chain(dominator, source):
            outside = networkx.restricted_view(graph, [head], [])
            body = networkx.ancestors(outside, source) if source != head else set()
            found.append({head, source, *body})
    return found


def _chain(dominator: dict[int, int | None], node: int) -> set[int]:
    """A node and all that dominate it."""
    chain: set[int] = set()
    at: int | None = node
    while at is not None and at not in chain:
        chain.add(at)
        at = dominator.get(at)
    return chain


def _read(flag: str, cubin: bytes) -> str:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [TOOL, flag, file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
