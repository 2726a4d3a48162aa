"""The compiled extension: instructions for tiles are where they belong, and nowhere else."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tvtfast.kernels.backend import native

from ..emulation.building import OPTIONS, SOURCES, missing, run_compiler

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=f"nothing is compiled: {missing()}"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not on PATH"),
]

FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\s+(\w+)(.*)")
TILES = re.compile(r"t(ile|dp)\w+|ldtilecfg|sttilecfg")
KERNELS = ("linear_amx_bf16", "attention_amx_bf16")


def instructions(binary: Path) -> Iterator[tuple[str, str, str]]:
    """Function, mnemonic and operands of every instruction."""
    command = ["objdump", "-d", "--no-show-raw-insn", str(binary)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        function = ""
        for line in process.stdout:
            if found := FUNCTION.match(line):
                function = found[1]
            elif found := INSTRUCTION.match(line):
                yield function, found[1], found[2]
    assert process.returncode == 0


@pytest.fixture(scope="module", params=KERNELS)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object of a file that is compiled for AMX."""
    made = tmp_path_factory.mktemp("objects") / f"{request.param}.o"
    source = SOURCES / f"{request.param}.cpp"
    run_compiler(["g++", *OPTIONS, "-O2", f"-I{SOURCES}", "-c", str(source)], made)
    return made


def test_files_for_amx_share_no_code_with_files_for_any_cpu(compiled: Path) -> None:
    """The linker keeps one copy of an inline function: such a one must run on every CPU."""
    symbols = subprocess.run(["nm", str(compiled)], capture_output=True, text=True, check=True)
    shared = {line.split()[-1] for line in symbols.stdout.splitlines() if " W " in line}
    used = defaultdict(set)
    for function, mnemonic, operands in instructions(compiled):
        if TILES.fullmatch(mnemonic) or "%ymm" in operands or "%zmm" in operands:
            used[function].add(mnemonic)
    assert "tdpbf16ps" in set().union(*used.values())
    assert shared.isdisjoint(used)


def test_tiles_are_in_functions_for_amx_alone() -> None:
    if native.missing():
        pytest.skip(native.missing()[0])
    used = defaultdict(set)
    for function, mnemonic, _ in instructions(Path(native.extension().__file__)):
        if TILES.fullmatch(mnemonic):
            used[function].add(mnemonic)
    every = {"ldtilecfg", "tileloadd", "tilezero", "tdpbf16ps", "tilestored", "tilerelease"}
    assert set().union(*used.values()) == every
    assert all("InTiles" in function for function in used), sorted(used)
