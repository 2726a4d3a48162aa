"""The small run, and the small tournament."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def small(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``run_small.py`` as a module; its path is ``small.__file__``."""
    return load_program(Path(__file__).with_name("run_small.py"))


@pytest.fixture(scope="session")
def contest(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``tournament_small.py`` as a module; its path is ``contest.__file__``."""
    return load_program(Path(__file__).with_name("tournament_small.py"))
