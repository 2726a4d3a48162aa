"""The small run, and the small tournament."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``run_small.py`` as a module; its path is ``small.__file__``."""
    return load_program(Path(__file__).with_name("run_small.py"))


@pytest.fixture(scope="session")
def contest(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``tournament_small.py`` as a module; its path is ``contest.__file__``."""
    return load_program(Path(__file__).with_name("tournament_small.py"))


@pytest.fixture(scope="module")
def archive(small: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 and 20 digits as .npz."""
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    arrays: dict[str, Any] = {}
    for split, count in (("train", 64), ("test", 20)):
        part = small.part(split, count)
        arrays[f"x_{split}"] = np.stack([np.asarray(part.images[i]) for i in range(count)])
        arrays[f"y_{split}"] = part.labels.numpy()
    np.savez(path, **arrays)
    return path
