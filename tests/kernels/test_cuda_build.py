"""What can be known of the CUDA backend without a device: it builds, it loads, it says why not."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from tvtfast import kernels
from tvtfast.kernels import dispatch
from tvtfast.kernels.backend import cuda as _extension
from tvtfast.kernels.dispatch import OPERATORS

SOURCES = Path(__file__).parents[2] / "csrc"
UNITS = sorted(path.name for path in (SOURCES / "cuda").glob("*.cu"))
BUILDING = Path(__file__).parents[2] / "building"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
SHARED_LIMIT = 48 * 1024  # static and dynamic shared memory of a block that asks for no more
DYNAMIC_SHARED = 2048 * 8  # sums of the largest image that the map kernel keeps in shared memory
SERVED = [
    name
    for name, entry in dispatch.IMPLEMENTATIONS.items()
    if any(implementation.backend == "cuda" for implementation in entry)
]


@pytest.fixture
def building(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """What the build knows of nvcc."""
    if not BUILDING.is_dir():
        pytest.skip(f"no sources in {BUILDING}")
    return load_program(BUILDING / "nvcc.py")


@pytest.fixture
def nvcc(building: ModuleType) -> str:
    path: str | None = building.find()
    if path is None:
        assert os.environ.get("TVTFAST_CUDA") != "1", "TVTFAST_CUDA=1, but there is no nvcc"
        pytest.skip("there is no nvcc")
    return path


@pytest.fixture
def built() -> None:
    if _extension.missing():
        pytest.skip(_extension.missing()[0])


def test_extension_is_built_where_nvcc_is(nvcc: str) -> None:
    if os.environ.get("TVTFAST_CUDA") == "0":
        pytest.skip("TVTFAST_CUDA=0")
    assert _extension.missing() == ()
    info = kernels.cuda_build_info()
    assert info is not None and info["architectures"] == ", ".join(ARCHITECTURES)
    assert re.fullmatch(r"\d+\.\d+", info["toolkit"])


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of this machine is found: neither on PATH, nor in a usual folder or environment."""
    for name in ("CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "TVTFAST_CUDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "site-packages"))
    return tmp_path


def test_nvcc_is_found_where_it_may_be(
    building: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's choice comes first, wheels of the environment last."""
    monkeypatch.setattr(building, "USUAL", (str(elsewhere / "usual"),))
    assert building.find() is None
    environment, active = elsewhere / "site-packages", elsewhere / "active"
    monkeypatch.setenv("VIRTUAL_ENV", str(active))
    monkeypatch.setenv("CUDA_HOME", str(elsewhere / "home"))
    for place in (
        active / "lib/python3.11/site-packages/nvidia/cu13/bin",
        environment / "nvidia/cu12/bin",
        environment / "nvidia/cu13/bin",
        elsewhere / "usual/bin",
        elsewhere / "path",
        elsewhere / "home/bin",
    ):
        place.mkdir(parents=True)
        (place / "nvcc").touch(mode=0o755)
        assert building.find() == str(place / "nvcc")
    monkeypatch.setattr(sys, "path", [str(environment)])
    assert building.find() == str(elsewhere / "home/bin/nvcc")


def test_a_build_that_insists_brings_nvcc(
    building: ModuleType, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "USUAL", ())
    assert building.requirements() == []
    monkeypatch.setenv("TVTFAST_CUDA", "1")
    (requirement,) = building.requirements()
    assert requirement == building.REQUIREMENT
    (elsewhere / "path").mkdir()
    (elsewhere / "path/nvcc").touch(mode=0o755)
    assert building.requirements() == []
    monkeypatch.setenv("TVTFAST_CUDA", "yes")
    with pytest.raises(SystemExit, match="TVTFAST_CUDA='yes' is unknown; allowed are auto, 1, 0"):
        building.requirements()


def test_what_nvcc_says_is_in_the_error(building: ModuleType, tmp_path: Path) -> None:
    broken = tmp_path / "nvcc"
    with pytest.raises(building.NvccError, match="does not run"):
        building.runtime_folder(str(broken))
    broken.write_text("#!/bin/sh\necho no licence >&2; exit 1\n")
    broken.chmod(0o755)
    with pytest.raises(building.NvccError, match="failed:\nno licence"):
        building.runtime_folder(str(broken))


def test_loads_without_a_driver(built: None) -> None:
    """Neither the driver nor a shared runtime is needed to import the extension."""
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is not on PATH")
    path = _extension.extension().__file__
    dynamic = subprocess.run([readelf, "-d", path], capture_output=True, text=True, check=True)
    needed = re.findall(r"NEEDED.*\[(.+)\]", dynamic.stdout)
    assert needed
    assert not [name for name in needed if name.startswith(("libcuda", "libtorch", "libc10"))]


def test_calls_on_the_cpu_load_nothing(tmp_path: Path) -> None:
    code = """
import sys, torch
import tvtfast.kernels as kernels
kernels.attention_map(torch.ones(1, 2, 3, 3))
kernels.explain()
assert "tvtfast._cuda" not in sys.modules
assert not torch.cuda.is_initialized()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def read(*flags: str) -> str:
    """What cuobjdump, which comes with triton, says of the extension that is installed."""
    found = importlib.util.find_spec("triton")
    if found is None or found.origin is None:
        pytest.skip("triton, whose cuobjdump reads the extension, is not installed")
    tool = Path(found.origin).parent / "backends/nvidia/bin/cuobjdump"
    path = _extension.extension().__file__
    assert path is not None
    return subprocess.run([tool, *flags, path], capture_output=True, text=True, check=True).stdout


def of_unit(name: str, unit: str) -> bool:
    """Whether a mangled name lies in the anonymous namespace of a file."""
    stem = unit.removesuffix(".cu")
    return f"_{len(stem) + 3}_{stem}_cu_" in name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_installed_kernels_do_not_spill(built: None, architecture: str) -> None:
    said = "".join(
        part
        for part in read("--dump-resource-usage").split("Fatbin ")
        if f"arch = {architecture}" in part
    )
    kernels_used = re.findall(
        r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", said
    )
    for unit in UNITS:
        assert any(of_unit(name, unit) for name, *_ in kernels_used), unit
    assert len(kernels_used) >= 50
    for name, registers, stack, shared, local in kernels_used:
        assert stack == local == "0", name
        assert int(registers) <= 96, name
        assert int(shared) + DYNAMIC_SHARED <= SHARED_LIMIT, name


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("unit", UNITS or ["no sources beside the tests"])
def test_kernels_do_not_spill(nvcc: str, tmp_path: Path, unit: str, architecture: str) -> None:
    if not UNITS:
        pytest.skip(f"no sources in {SOURCES}")
    command = [nvcc, "-cubin", f"-arch={architecture}", "-O3", "-std=c++17", "-Werror=all-warnings"]
    command += [f"-I{SOURCES}", f"-I{SOURCES / 'cuda'}", "--resource-usage"]
    command += [str(SOURCES / "cuda" / unit), "-o", str(tmp_path / "unit.cubin")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    said = result.stdout + result.stderr
    frames = re.findall(
        r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", said
    )
    used = re.findall(r"Used (\d+) registers.*", said)
    assert len(frames) == len(used) > 0
    assert set(frames) == {("0", "0", "0")}
    assert max(map(int, used)) <= 96
    shared = [int(size) for size in re.findall(r"(\d+) bytes smem", said)]
    assert max(shared, default=0) + DYNAMIC_SHARED <= SHARED_LIMIT


def ptx(unit: str) -> str:
    """Intermediate code of a file, as the extension carries it for devices to come."""
    (code,) = (part for part in read("-ptx").split("Fatbin ptx code") if of_unit(part, unit))
    return code


def test_features_and_segments_move_16_bytes_at_a_time(built: None) -> None:
    for unit in ("attention_map.cu", "attention_map_backward.cu", "segment_norms.cu"):
        code = ptx(unit)
        assert re.search(r"ld\.global(\.nc)?\.v4\.(b32|u32|f32)", code), unit
        assert unit != "attention_map_backward.cu" or "st.global.v4" in code
        # A load of no known space must find out at run time whether it means shared memory.
        assert unit != "segment_norms.cu" or not re.search(r"\bld\.(v4|f32|u16|b16)", code)


def test_indexed_numbers_are_rounded_after_every_step(built: None) -> None:
    code = ptx("indexed.cu")
    assert "sqrt.rn.f32" in code
    assert not re.search(r"\b(fma|mad)\S*\.f32|\.(ftz|approx)\b", code)


def test_nothing_is_added_in_the_order_of_arrival(built: None) -> None:
    for unit in UNITS:
        assert not re.search(r"\b(?:atom|red)\.", ptx(unit)), unit


@pytest.mark.parametrize("operator", SERVED)
def test_tensors_on_the_cpu_are_declined_by_name(operator: str) -> None:
    arguments = OPERATORS[operator].example()
    (cuda,) = (i for i in dispatch.IMPLEMENTATIONS[operator] if i.backend == "cuda")
    assert any("is on cpu (allowed: cuda)" in reason for reason in cuda.reasons(arguments))
    with pytest.raises(kernels.BackendError, match=rf"tvtfast::{operator}.*'cuda'.*on cpu"):
        getattr(torch.ops.tvtfast, operator)(*arguments, backend="cuda")


def test_every_reason_is_given() -> None:
    x = torch.ones(1, 2, 2, 2, dtype=torch.float64)
    with pytest.raises(kernels.BackendError, match="x is on cpu.*; x is float64.*allowed: float32"):
        kernels.attention_map(x, backend="cuda")


def test_operators_without_a_cuda_kernel_say_so() -> None:
    with pytest.raises(kernels.BackendError, match="slice_norms has no backend 'cuda'"):
        kernels.slice_norms(torch.ones(2, 2), [(1, 1)], backend="cuda")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ModuleNotFoundError("No module named 'tvtfast._cuda'"),
            "not built; reinstall.*TVTFAST_CUDA=1",
        ),
        (ImportError("undefined symbol: x"), "does not import: undefined symbol"),
    ],
)
def test_missing_extension(monkeypatch: pytest.MonkeyPatch, error: ImportError, said: str) -> None:
    def refuse(name: str) -> None:
        raise error

    monkeypatch.setattr(_extension.importlib, "import_module", refuse)
    _extension._load.cache_clear()
    try:
        assert re.search(said, _extension.missing()[0])
        assert kernels.cuda_build_info() is None
    finally:
        _extension._load.cache_clear()


def test_a_device_that_failed_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory may have been full; one that works is not asked again, since calls are short."""
    answers = iter(["out of memory", ""])
    monkeypatch.setattr(_extension, "_usable", set())
    monkeypatch.setattr(
        _extension, "extension", lambda: SimpleNamespace(probe=lambda index: next(answers))
    )
    assert _extension._device_reasons(3) == ("cuda:3 cannot run tvtfast._cuda: out of memory",)
    assert _extension._device_reasons(3) == _extension._device_reasons(3) == ()


def test_a_failed_launch_names_the_operator(built: None) -> None:
    if torch.cuda.is_available():
        pytest.skip("a launch would succeed")
    with pytest.raises(RuntimeError, match=r"indexed_normal_ on cuda:0: .*\(cudaError"):
        _extension.extension().indexed_normal(0, (1, 1, 1, 4), 0, 1.0, 0.0, 0, 0)
