"""What importing the package does and does not do, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import tvtfast.kernels


def run(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_import_touches_nothing_it_does_not_need(tmp_path: Path) -> None:
    code = """
import socket, subprocess, sys
def refuse(*arguments, **keywords):
    raise AssertionError(f"called with {arguments}")
import torch, torch._dynamo  # torch.library loads it, and it loads triton where there is one
before = set(sys.modules)
socket.socket.connect = refuse
subprocess.Popen = refuse
import tvtfast.kernels
assert not torch.cuda.is_initialized()
for name in ("tvtfast._C", "triton", "timm", "torchvision", "scipy", "matplotlib"):
    assert name not in set(sys.modules) - before, name
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_kernels_import_nothing_else_of_tvtfast(tmp_path: Path) -> None:
    code = """
import sys, torch
import tvtfast
before = {name for name in sys.modules if name.startswith("tvtfast")}
import tvtfast.kernels
tvtfast.kernels.explain()
after = {name for name in sys.modules if name.startswith("tvtfast")} - before
assert all(name.startswith(("tvtfast.kernels", "tvtfast._C")) for name in after), after
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


def test_source_folder_is_refused_as_a_top_level_package(tmp_path: Path) -> None:
    (tmp_path / "kernels").symlink_to(Path(tvtfast.kernels.__file__).resolve().parent)
    result = run("import kernels", tmp_path)
    assert result.returncode != 0
    assert "Import tvtfast.kernels" in result.stderr


def test_public_names() -> None:
    assert tvtfast.kernels.__all__ == sorted(tvtfast.kernels.__all__)
    for name in tvtfast.kernels.__all__:
        assert getattr(tvtfast.kernels, name) is not None


@pytest.mark.parametrize("threads", ("1", "2"))
def test_one_openmp_runtime(tmp_path: Path, threads: str) -> None:
    code = """
import torch, tvtfast.kernels as kernels
if kernels.native_build_info():
    maps = open("/proc/self/maps").read()
    loaded = {line.split()[-1] for line in maps.splitlines() if "libgomp" in line}
    assert len(loaded) <= 1, loaded
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    assert run(code, tmp_path).returncode == 0
