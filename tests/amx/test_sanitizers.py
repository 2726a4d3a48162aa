"""The cases under sanitizers, and deliberate faults in the kernels, each of which must be found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..emulation.building import SOURCES, missing, runtime
from .building import build
from .faults import FAULTS, plant

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"AMX is not emulated: {missing()}")

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ("none", "address"))
def test_sanitizers_find_the_faults_and_nothing_else(sanitizer: str, tmp_path: Path) -> None:
    library = build(sanitizer, plant)
    # pytest options of the outer run, such as --cov, are not for that process
    inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "addopts=--import-mode=importlib --strict-markers"),
            str(HERE / "test_planted.py"),
        ],
        cwd=tmp_path,
        env={
            **inherited,
            "TVTFAST_AMX_SANITIZER": sanitizer,
            "TVTFAST_AMX_LIBRARY": str(library),
            "LD_PRELOAD": runtime(sanitizer),
            # Python keeps memory to its end.
            "ASAN_OPTIONS": "detect_leaks=0",
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-8000:]
    assert "passed" in result.stdout and "skipped" not in result.stdout


def test_every_fault_has_one_place_and_a_name_of_its_own() -> None:
    for path in SOURCES.iterdir():
        if path.suffix in (".h", ".cpp"):
            planted = plant(path.name, path.read_text())
            assert planted.count("::emulated::fault ==") == sum(f.file == path.name for f in FAULTS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
