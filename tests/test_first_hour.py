"""``first_hour.sh`` of ``tests/gpu`` and ``tests/amx`` as far as they go without their machines."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PYTHON = """#!/bin/bash
# stands in for Python on a machine with a device
case "$*" in
*is_available*) ;;
*"tests/kernels -k amx_bf16"*) echo "9 skipped" ;;
*"tests/population"*) echo "1 failed, 2 passed"; exit 1 ;;
*"tests/amx"*) echo "3 passed" ;;
*"--ignore tests/gpu/test_cuda_gpu.py"*) echo "3 passed, 1 skipped" ;;
*test_cuda_gpu.py*) echo "9 skipped" ;;
*test_population_gpu.py*) echo "1 failed, 2 passed"; exit 1 ;;
*"-m bench "*) echo "| operator | ms |"; exit 7 ;;
*) echo "said $*" ;;
esac
"""


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if name != "TVTFAST_TEST_DATA"}
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A copy in a tree of its own, for what it writes."""
    return copied("gpu", tmp_path)


def copied(kind: str, root: Path) -> Path:
    copy = root / "tests" / kind / "first_hour.sh"
    copy.parent.mkdir(parents=True)
    shutil.copy(TESTS / kind / "first_hour.sh", copy)
    shutil.copy(TESTS / "steps.sh", root / "tests")
    return copy


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the names of images and teacher."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("cifar100_subset.npz", "cifar10_resnet56-4bfd9763.th"):
        (folder / name).touch()
    return folder


def stand_in(path: Path, text: str) -> str:
    """An executable that takes the place of Python."""
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_it_says_that_there_is_no_device(script: Path, tmp_path: Path) -> None:
    result = run(script, PYTHON=stand_in(tmp_path / "python", "#!/bin/bash\nexit 1\n"))
    assert result.returncode == 2 and not (tmp_path / "bench").exists()
    assert "no CUDA device is visible" in result.stderr and "nothing was run" in result.stderr


def test_what_fails_is_named_and_the_rest_is_done(script: Path, data: Path, tmp_path: Path) -> None:
    results = tmp_path / "bench/results"
    result = run(script, data, PYTHON=stand_in(tmp_path / "python", PYTHON))
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED ")]
    assert result.returncode == 1
    assert "FAILED cuda-kernels: every test was skipped" in failed
    assert any(line.startswith("FAILED populations: ended with 1") for line in failed)
    assert any(line.startswith("FAILED operators-times: ended with 7") for line in failed)
    assert not any("triton-kernels" in line or "population-times" in line for line in failed)
    operators = (results / "operators-cuda.md").read_text()
    assert "not all of it was done" in operators and "| operator | ms |" in operators
    population = (results / "population-cuda.md").read_text()
    assert "`python -m bench.population" in population and "not all" not in population
    assert str(data) not in population.split("said")[0]
    assert (results / "first-hour/populations.txt").read_text() == "1 failed, 2 passed\n"


def test_data_that_is_not_there_is_still_owed(script: Path, tmp_path: Path) -> None:
    result = run(script, PYTHON=stand_in(tmp_path / "python", "#!/bin/bash\necho 1 passed\n"))
    assert result.returncode == 1
    assert "FAILED population-times: left out, no CIFAR-100 images" in result.stdout


def test_a_cpu_without_tiles(tmp_path: Path) -> None:
    python = stand_in(tmp_path / "python", "#!/bin/bash\nexit 1\n")
    result = run(copied("amx", tmp_path), PYTHON=python)
    assert result.returncode == 2 and not (tmp_path / "bench").exists()
    assert "no matrix tiles" in result.stderr and "nothing was run" in result.stderr


def test_tiles_that_are_not_used_are_a_failure(data: Path, tmp_path: Path) -> None:
    script, python = copied("amx", tmp_path), PYTHON.replace("is_available", "tile_supported")
    result = run(script, data, PYTHON=stand_in(tmp_path / "python", python))
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED ")]
    assert result.returncode == 1
    assert any(line.startswith("FAILED tiles: left out, tvtfast._C does not") for line in failed)
    assert "FAILED kernels: every test was skipped" in failed
    assert any(line.startswith("FAILED populations: ended with 1") for line in failed)
    assert any(line.startswith("FAILED operators-times: ended with 7") for line in failed)
    assert not any("software" in line or "dispatch" in line for line in failed)
    assert "`python -m bench.dispatch`" in (tmp_path / "bench/results/dispatch-amx.md").read_text()


def test_tiles_that_are_used(data: Path, tmp_path: Path) -> None:
    python = "#!/bin/bash\necho '  vectors  amx_bf16, 1 passed'\n"
    result = run(copied("amx", tmp_path), data, PYTHON=stand_in(tmp_path / "python", python))
    assert result.returncode == 0, result.stdout
    assert "everything passed" in result.stdout
    population = (tmp_path / "bench/results/population-amx.md").read_text()
    assert "--data cifar100_subset.npz --teacher cifar10_resnet56-4bfd9763.th`" in population
