"""What a new user does, by the scripts that the site shows, with the output that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "docs" / "tutorials"
JOURNEYS = (
    "first_search.sh",
    "own_folder.sh",
    "own_vit.py",
    "optuna_study.py",
    "resume.sh",
    "export_predict.sh",
)
LONGEST = 1200
"""Seconds after which a journey hangs, on a machine that has other work, too."""

if not PAGES.is_dir():
    pytest.skip(f"{PAGES} does not lie beside the tests", allow_module_level=True)


@pytest.fixture(scope="module")
def journey(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    return load_program(HERE / "journey.py")


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos and the teacher that a user brings."""
    home = tmp_path_factory.mktemp("home")
    _run([sys.executable, str(HERE / "prepare.py"), str(home)], home)
    return home


def _run(command: list[str], home: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    started = time.monotonic()
    finished = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=LONGEST
    )
    print(f"{command[-1]}: {time.monotonic() - started:.0f} s")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize("name", JOURNEYS)
def test_the_page_shows_the_script(journey: ModuleType, name: str) -> None:
    _, part = journey.on_page(name)
    output = journey.output_of(part)
    assert output.strip()
    assert part == journey.shown(name, output).strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", JOURNEYS)
def test_the_output_is_what_the_page_shows(
    journey: ModuleType, brought: Path, name: str, tmp_path: Path
) -> None:
    if name.startswith("optuna"):
        pytest.importorskip("optuna", reason="pip install '.[hosts]'")
    home = shutil.copytree(brought, tmp_path / "home")
    program = [sys.executable] if name.endswith(".py") else ["bash", "-e"]
    output = _run([*program, str(HERE / name)], home)
    _, part = journey.on_page(name)
    assert journey.words(output) == journey.words(journey.output_of(part))


def test_every_script_is_a_journey() -> None:
    scripts = {path.name for path in HERE.iterdir() if path.suffix in (".sh", ".py")}
    assert scripts - {"journey.py", "prepare.py", "test_journeys.py"} == {*JOURNEYS}


def test_other_words_are_seen(journey: ModuleType) -> None:
    assert journey.words("best of 30\n in 26.3 s") == journey.words("best of 1,000 in 2 min 5 s")
    assert journey.words("best of 30 candidates") != journey.words("best of 30 models")
