"""Who may use tiles: ``csrc/amx.cpp`` with a CPU and an operating system that answer as told."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

from ..emulation.building import OPTIONS, SOURCES, missing, run_compiler

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"AMX is not emulated: {missing()}")

# A CPU with some of the bits, and a kernel that answers the request and counts it.
ANSWERS = """
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>
inline int tile, bf16, answer, requests;
inline bool supports(const char* name) {
  return std::strcmp(name, "amx-tile") == 0 ? tile : std::strcmp(name, "amx-bf16") == 0 && bf16;
}
inline long request(long number, long code, long feature) {
  requests += number == SYS_arch_prctl && code == 0x1023 && feature == 18;
  return answer;
}
extern "C" __attribute__((visibility("default"))) bool has(int t, int b, int a) {
  tile = t; bf16 = b; answer = a; return tvt::has_amx_bf16();
}
extern "C" __attribute__((visibility("default"))) int asked() { return requests; }
#define __builtin_cpu_supports supports
#define syscall request
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("permission")
    source, made = folder / "permission.cpp", folder / "permission.so"
    source.write_text(f'#include "amx.h"\n{ANSWERS}\n#include "{SOURCES / "amx.cpp"}"\n')
    run_compiler(["g++", *OPTIONS, "-shared", f"-I{SOURCES}", str(source)], made)
    return made


@pytest.mark.parametrize(
    ("tile", "bf16", "answer", "allowed", "asked"),
    [
        (1, 1, 0, True, 1),
        (1, 1, -1, False, 1),
        (1, 0, 0, False, 0),
        (0, 1, 0, False, 0),
        (0, 0, 0, False, 0),
    ],
)
def test_tiles_need_the_cpu_and_a_permission_that_is_asked_for_once(
    library: Path, tmp_path: Path, tile: int, bf16: int, answer: int, allowed: bool, asked: int
) -> None:
    copy = shutil.copy(library, tmp_path / "copy.so")  # what was answered is kept
    loaded = ctypes.CDLL(str(copy))
    loaded.has.restype = ctypes.c_bool
    for _ in range(3):
        assert loaded.has(tile, bf16, answer) is allowed
    assert loaded.asked() == asked
