"""The device guard of the CUDA kernels against a runtime and a driver that are a few lines each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "csrc"
RUNTIME = """
#pragma once
enum cudaError_t { cudaSuccess = 0 };
typedef struct Stream* cudaStream_t;
extern "C" {
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError();
int cuCtxGetCurrent(void** context);
int cuCtxSetCurrent(void* context);
bool was_made(int device);
int launched();
}
"""
"""Two devices; the context of a device is made when it is set, and work goes to the current one."""
DRIVER = """
#include "cuda_runtime.h"
static bool made[2];
static thread_local bool* current = nullptr;
static thread_local int chosen = 0;
cudaError_t cudaGetDevice(int* device) {
  *device = current ? static_cast<int>(current - made) : chosen;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  chosen = device;
  current = &made[device];
  *current = true;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
int cuCtxGetCurrent(void** context) { *context = current; return 0; }
int cuCtxSetCurrent(void* context) { current = static_cast<bool*>(context); return 0; }
bool was_made(int device) { return made[device]; }
int launched() {
  if (!current) cudaSetDevice(chosen);
  return static_cast<int>(current - made);
}
"""
PROGRAM = """
#include <cstdio>
#include "launch.cuh"
static int run(int device) {
  int on = -1;
  tvt::cuda::on_device({device, 0}, [&](cudaStream_t) { on = launched(); });
  return on;
}
static void* context() { void* c; cuCtxGetCurrent(&c); return c; }
#define CHECK(what) if (!(what)) { std::printf("%s\\n", #what); return 1; }
int main() {
  for (int k = 0; k < 2; ++k) {  // a thread that has used no device yet, twice
    CHECK(run(1) == 1);
    CHECK(!was_made(0));
    CHECK(context() == nullptr);
  }
  cudaSetDevice(0);
  void* const before = context();
  CHECK(run(1) == 1 && context() == before);
  CHECK(run(0) == 0 && context() == before);
}
"""


MUTANTS = {
    "without the driver": (("libcuda.so.1", "libother.so"), "!was_made(0)"),
    "a context is taken for granted": ((" && !without_context", ""), "context() == nullptr"),
    "not restored": (("set_(context_);", ""), "context() == nullptr"),
}


@pytest.mark.parametrize(
    ("mutation", "said"),
    [
        pytest.param(None, "", id="as it is"),
        *(
            pytest.param(*mutant, id=name, marks=pytest.mark.slow)
            for name, mutant in MUTANTS.items()
        ),
    ],
)
def test_no_context_is_made_where_the_caller_has_none(
    tmp_path: Path, mutation: tuple[str, str] | None, said: str
) -> None:
    """PyTorch on cuda:1 alone must not lose memory of cuda:0, nor find another device current."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not on PATH")
    if not SOURCES.is_dir():
        pytest.skip(f"no sources in {SOURCES}")
    guard = (SOURCES / "cuda/launch.cuh").read_text()
    if mutation:
        assert mutation[0] in guard
        guard = guard.replace(*mutation)
    texts = {"cuda_runtime.h": RUNTIME, "driver.cpp": DRIVER, "main.cpp": PROGRAM}
    for name, text in {**texts, "launch.cuh": guard}.items():
        (tmp_path / name).write_text(text)
    shutil.copy(SOURCES / "cuda/queue.h", tmp_path)
    driver = "libcuda.so.1"
    build = [compiler, "-std=c++17", "-I."]
    for arguments in (
        ["driver.cpp", "-shared", "-fPIC", f"-Wl,-soname,{driver}", "-o", driver],
        ["main.cpp", driver, "-Wl,-rpath,.", "-ldl", "-o", "main"],
    ):
        subprocess.run([*build, *arguments], cwd=tmp_path, check=True, capture_output=True)
    result = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode == 0) == (mutation is None)
    assert said in result.stdout
