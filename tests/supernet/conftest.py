"""The small superformer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture(scope="session")
def small(load_program: Callable[[Path], ModuleType]) -> ModuleType:
    """``train_super.py`` as a module; its path is ``small.__file__``."""
    return load_program(Path(__file__).with_name("train_super.py"))


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
